"""Who may ask: hosts, origins, token, size, and what browsers are told to refuse. Plain ASGI, before all else.

- **Host**: a name that is not ours means that a foreign site's name was pointed here (DNS rebinding).
- **Origin**: a browser tells where a page comes from; a foreign one may not change anything, nor open a socket.
- **Token**: compared in constant time; a browser keeps it in a cookie that no script and no foreign site can use.
- **Size**: a body ends at a megabyte, also one whose length nobody told.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from kafka_orders.web.problems import problem_bytes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COOKIE = "kafka_orders_token"
MOST_BODY_BYTES = 1024 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Reachable without a token: it says nothing but that the process lives.
_OPEN = frozenset({"/health/live"})
# The page's library needs inline scripts and eval (its own, from here); nothing comes from elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served."""

    status: int
    said: str


_LONG = Refusal(413, f"a body may have {MOST_BODY_BYTES:,} bytes")


@dataclass(frozen=True, slots=True)
class Doorman:
    """Decides about requests: pure, so that each rule has a plain test.

    ``hosts`` are the names this server answers to, beside the loopback ones; ``tokens`` are by operator's name.
    """

    hosts: frozenset[str] = frozenset()
    tokens: Mapping[str, str] = field(default_factory=dict)

    def refuses(self, kind: str, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is refused; None: it may come in. ``kind`` is ASGI's: http or websocket."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return Refusal(421, f"this server does not answer to the name {_name(host)[:80]!r}")
        origin = headers.get("origin", "")
        is_changing = method not in _SAFE or kind == "websocket"
        if origin and is_changing and not _is_of(origin, host):
            return Refusal(403, "a page from another origin may not do this")
        if is_changing and headers.get("sec-fetch-site", "same-origin") in ("cross-site", "same-site"):
            return Refusal(403, "a page from another site may not do this")
        if not is_changing and headers.get("sec-fetch-site") == "cross-site" and not _is_visit(path, headers):
            return Refusal(403, "a page from another site may not ask for this")
        if self.tokens and path not in _OPEN and self.operator(headers) is None:
            return Refusal(
                401, "a token is needed: Authorization: Bearer TOKEN, or open the page with ?token=TOKEN"
            )
        return None

    def _is_ours(self, host: str) -> bool:
        return _name(host) in _LOOPBACK or _name(host) in self.hosts

    def operator(self, headers: Mapping[str, str]) -> str | None:
        """Return whose token a request has; empty: no token is needed; None: it has none that is right."""
        if not self.tokens:
            return ""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        given = given if scheme.lower() == "bearer" else _cookie(headers.get("cookie", ""))
        return self.known(given)

    def known(self, given: str) -> str | None:
        """Return whose token this is; all are compared, each in constant time."""
        found = [
            name for name, token in self.tokens.items() if hmac.compare_digest(token.encode(), given.encode())
        ]
        return found[0] if found else None


def _name(host: str) -> str:
    """Return a Host header without its port."""
    return host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host.lower()


def _is_visit(path: str, headers: Mapping[str, str]) -> bool:
    """Somebody follows a link to the page."""
    return path == "/" and headers.get("sec-fetch-mode") == "navigate"


def _is_of(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # as http://[
        return False


def _cookie(header: str) -> str:
    """Return our cookie, whatever the other ones look like: those of all ports of this machine come here."""
    pairs = (one.strip().partition("=") for one in header.split(";"))
    return {name: value for name, _, value in pairs}.get(COOKIE, "")


class Guard:
    """The doorman before an app."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], doorman: Doorman) -> None:
        self._app, self._doorman = app, doorman

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope.get("method", "GET"), scope["path"]
        refusal = self._doorman.refuses(scope["type"], method, path, headers)
        is_page = scope["type"] == "http" and (refusal is None or refusal.status == 401)
        if is_page and (cookie := self._login(method, scope.get("query_string", b""))) is not None:
            await _answer(send, 303, b"", [(b"location", _here(path)), (b"set-cookie", cookie)])
            return
        if refusal is None and _is_long(headers.get("content-length", "0")):
            refusal = _LONG
        if refusal is not None:
            await self._refuse(scope, send, refusal)
            return
        scope.setdefault("state", {})["operator"] = self._doorman.operator(headers) or ""
        refuse = partial(self._refuse, scope, send, _LONG)
        await self._app(scope, *_bounded(receive, _guarded(send, path), refuse))

    def _login(self, method: str, query: bytes) -> bytes | None:
        """Return the cookie for a page that was opened with a right token in its address."""
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        if method != "GET" or not given or self._doorman.known(given) is None:
            return None
        return f"{COOKIE}={given}; HttpOnly; SameSite=Strict; Path=/".encode("latin-1")

    @staticmethod
    async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.said})
            return
        body = problem_bytes(refusal.status, refusal.said)
        more = [(b"www-authenticate", b"Bearer")] if refusal.status == 401 else []
        await _answer(send, refusal.status, body, [(b"content-type", b"application/problem+json"), *more])


def _is_long(length: str) -> bool:
    return length.isdecimal() and (len(length) > 18 or int(length) > MOST_BODY_BYTES)


def _here(path: str) -> bytes:
    """Return a path of this server: one that begins with two slashes would name another one."""
    return quote("/" + path.lstrip("/\\")).encode()


async def _answer(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    told = [*headers, (b"content-length", b"%d" % len(body)), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


def _guarded(send: Send, path: str) -> Send:
    """Add the headers that every answer has."""
    more = [*_HEADERS, (b"cache-control", b"no-store")] if path.startswith(("/api", "/health")) else _HEADERS

    async def told(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *more]
        await send(message)

    return told


def _bounded(receive: Receive, send: Send, refuse: Callable[[], Awaitable[None]]) -> tuple[Receive, Send]:
    """End a body whose length nobody told where it is too long: the app sees a client that went away.

    What it answers to that is told as a refusal.
    """
    read, is_begun, is_refused = 0, False, False

    async def received() -> MutableMapping[str, Any]:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > MOST_BODY_BYTES:
                return {"type": "http.disconnect"}
        return message

    async def told(message: MutableMapping[str, Any]) -> None:
        nonlocal is_begun, is_refused
        if is_begun or read <= MOST_BODY_BYTES:
            is_begun = True
            await send(message)
        elif not is_refused:
            is_refused = True
            await refuse()

    return received, told
