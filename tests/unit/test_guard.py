"""Who may ask the server: each rule goes red without it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kafka_orders.web.guard import COOKIE, MOST_BODY_BYTES, Doorman, Guard

TOKEN = "a-token-of-many-letters"
OPEN = Doorman()
LOCKED = Doorman(frozenset({"orders.example"}), {"alice": TOKEN, "bob": "another-token-of-bob"})


def refused(doorman: Doorman, *, kind: str = "http", method: str = "GET", path: str = "/", **headers: str) -> int:
    """Return the status of a refusal, 0 where there is none; header names with _ for -."""
    told = {"host": "127.0.0.1:8090", **{name.replace("_", "-"): value for name, value in headers.items()}}
    found = doorman.refuses(kind, method, path, told)
    return found.status if found else 0


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost:1", "LOCALHOST", "[::1]:8090", "[::1]"])
def test_own_names(host: str) -> None:
    assert refused(OPEN, host=host) == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "", "orders.example",
     "localhost.evil.example:80", "[::2]:8090"],
)  # fmt: skip
def test_another_hosts_name_is_refused(host: str) -> None:
    """DNS rebinding: a foreign site's name was pointed here."""
    assert refused(OPEN, host=host) == 421


def test_a_name_may_be_allowed() -> None:
    assert refused(LOCKED, host="orders.example", authorization=f"Bearer {TOKEN}") == 0
    assert refused(LOCKED, host="Orders.Example:443", authorization=f"Bearer {TOKEN}") == 0


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "http://localhost:8090"])
def test_another_origin_changes_nothing(origin: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert refused(OPEN, method=method, origin=origin) == 403
    assert refused(OPEN, kind="websocket", origin=origin) == 403
    assert refused(OPEN, path="/api/v1/stats", origin=origin) == 0, "reading is the browser's own rule"


def test_another_site_does_not_make_it_work() -> None:
    """A scan of the dead letters costs, even if its answer cannot be read; following a link is another thing."""
    assert refused(OPEN, path="/api/v1/dlq/messages", sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert refused(OPEN, path="/api/v1/stats", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 403
    assert refused(OPEN, path="/", sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert refused(OPEN, path="/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 0


def test_the_own_origin_may() -> None:
    assert refused(OPEN, method="POST", origin="http://127.0.0.1:8090", sec_fetch_site="same-origin") == 0
    assert refused(OPEN, kind="websocket", origin="http://127.0.0.1:8090") == 0
    assert refused(OPEN, method="POST") == 0, "a program says no origin"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_changes_nothing(site: str) -> None:
    assert refused(OPEN, method="POST", sec_fetch_site=site) == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"},
     {"cookie": f"{COOKIE}=wrong"}, {"cookie": "=;;=\x00"}, {"authorization": "Bearer \xff\xe4"},
     {"authorization": "Bearer "}, {"cookie": f"other={TOKEN}"}],
)  # fmt: skip
def test_without_the_right_token(headers: dict[str, str]) -> None:
    for path in ("/", "/api/v1/stats", "/metrics", "/health/ready", "/_nicegui_ws/socket.io/", "/health/live/"):
        assert refused(LOCKED, path=path, **headers) == 401, path
    assert refused(LOCKED, kind="websocket", path="/_nicegui_ws/socket.io/", **headers) == 401
    assert refused(LOCKED, path="/health/live", **headers) == 0


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer {TOKEN}"},
                                     {"cookie": f"a=b; {COOKIE}={TOKEN}"},
                                     {"cookie": f'sess={{"x": "y"}}; {COOKIE}={TOKEN}'}])  # fmt: skip
def test_with_the_right_token(headers: dict[str, str]) -> None:
    assert refused(LOCKED, path="/api/v1/stats", **headers) == 0
    assert LOCKED.operator(headers) == "alice"


async def asked(doorman: Doorman, chunks: list[bytes], **scope: Any) -> tuple[list[dict], bytes, dict]:
    """Ask through the guard; return what was sent, what the app read, and its scope."""
    sent: list[dict] = []
    read, seen = bytearray(), {}

    async def app(inner: Any, receive: Any, send: Any) -> None:
        seen.update(inner)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            read.extend(message.get("body", b""))
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})

    parts = iter([{"type": "http.request", "body": one, "more_body": True} for one in chunks]
                 + [{"type": "http.request", "body": b"", "more_body": False}])  # fmt: skip

    async def receive() -> dict:
        return next(parts)

    async def send(message: Any) -> None:
        sent.append(message)

    base = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await Guard(app, doorman)({**base, **scope}, receive, send)
    return sent, bytes(read), seen


def ask(doorman: Doorman, *chunks: bytes, **scope: Any) -> tuple[list[dict], bytes, dict]:
    return asyncio.run(asked(doorman, list(chunks), **scope))


def headers_of(sent: list[dict]) -> dict[bytes, bytes]:
    return dict(sent[0]["headers"])


@pytest.mark.parametrize("scope", [{}, {"headers": [(b"host", b"evil.example")]}, {"path": "/api/v1/stats"}])
def test_every_answer_tells_browsers_what_to_refuse(scope: dict[str, Any]) -> None:
    sent, _, _ = ask(OPEN, **scope)
    told = headers_of(sent)
    assert b"frame-ancestors 'none'" in told[b"content-security-policy"]
    assert b"default-src 'self'" in told[b"content-security-policy"]
    assert told[b"x-content-type-options"] == b"nosniff"
    if sent[0]["status"] != 200:
        assert told[b"content-type"] == b"application/problem+json"
        assert json.loads(sent[1]["body"])["status"] == sent[0]["status"] == 421


def test_a_long_body_is_refused_by_its_length() -> None:
    told = [(b"host", b"localhost"), (b"content-length", b"%d" % (MOST_BODY_BYTES + 1))]
    sent, read, _ = ask(OPEN, b"x", method="POST", headers=told)
    assert (sent[0]["status"], read) == (413, b"")


def test_a_long_body_without_a_length_ends() -> None:
    sent, read, _ = ask(OPEN, *[b"x" * 500_000] * 5, method="POST")
    assert sent == []
    assert len(read) <= MOST_BODY_BYTES
    assert ask(OPEN, b"x" * 500_000, method="POST")[0][0]["status"] == 200


@pytest.mark.parametrize(("path", "kept"), [("/", b"/"), ("/a", b"/a"), ("//evil.example/x", b"/evil.example/x"),
                                            ("/\\evil.example", b"/evil.example")])  # fmt: skip
def test_a_token_in_the_address_becomes_a_cookie_here(path: str, kept: bytes) -> None:
    sent, _, _ = ask(LOCKED, path=path, query_string=f"token={TOKEN}".encode())
    told = headers_of(sent)
    assert (sent[0]["status"], told[b"location"]) == (303, kept)
    assert told[b"set-cookie"] == f"{COOKIE}={TOKEN}; HttpOnly; SameSite=Strict; Path=/".encode()


def test_a_wrong_token_in_the_address_sets_nothing() -> None:
    sent, _, _ = ask(LOCKED, query_string=b"token=wrong")
    assert sent[0]["status"] == 401
    assert b"set-cookie" not in headers_of(sent)
    assert ask(OPEN, query_string=b"token=anything")[0][0]["status"] == 200


def test_the_app_is_told_who_asks() -> None:
    told = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    assert ask(LOCKED, headers=told)[2]["state"]["operator"] == "alice"


def test_a_refused_socket_is_closed() -> None:
    sent, _, _ = ask(LOCKED, type="websocket")
    assert sent[0]["type"] == "websocket.close"
