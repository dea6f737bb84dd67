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
    ["evil.example", "evil.example:8090", "EVIL.example", "127.0.0.1.evil.example", "", "orders.example",
     "localhost.evil.example:80", "[::2]:8090", "[fd00::1]", "localhost@evil.example", "\xff\xe4", ":8090"],
)  # fmt: skip
def test_another_hosts_name_is_refused(host: str) -> None:
    """DNS rebinding: a foreign site's name was pointed here."""
    assert refused(OPEN, host=host) == 421
    assert refused(OPEN, kind="websocket", host=host) == 421
    assert refused(OPEN, path="/health/live", host=host) == 421


def test_no_host_at_all_is_refused() -> None:
    assert ask(OPEN, headers=[])[0][0]["status"] == 421


def test_a_name_may_be_allowed() -> None:
    assert refused(LOCKED, host="orders.example", authorization=f"Bearer {TOKEN}") == 0
    assert refused(LOCKED, host="Orders.Example:443", authorization=f"Bearer {TOKEN}") == 0


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://127.0.0.1:1", "null", "http://localhost:8090", "http://[", "http://[::1",
     "http://evil.example@127.0.0.1:8090", "http://127.0.0.1:8090.evil.example", "x", "http://\xa8"],
)  # fmt: skip
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
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert refused(OPEN, method=method, sec_fetch_site=site) == 403
    assert refused(OPEN, kind="websocket", sec_fetch_site=site) == 403
    assert refused(OPEN, sec_fetch_site=site, sec_fetch_mode="navigate") == 0, "a link may be followed"


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"},
     {"authorization": f"Bearer {TOKEN}x"}, {"authorization": f"Bearer {TOKEN[:-1]}"},
     {"authorization": f"Bearer {TOKEN.upper()}"}, {"cookie": f"x{COOKIE}={TOKEN}"}, {"cookie": "\xff=\xe4"},
     {"authorization": "Bearer wrong", "cookie": f"{COOKIE}={TOKEN}"}, {"cookie": f"{COOKIE}=\xff\xe4"},
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
    assert refused(LOCKED, kind="websocket", **headers) == 0
    assert LOCKED.operator(headers) == "alice"


@pytest.mark.parametrize(
    "other", ['a={"x":1}', 'x="unclosed', "a name=1", "Ä=ü", "expires", "=x", "a[]=1, 2", "", "=;;=\x00", "a=b=c"]
)
def test_another_programs_cookie_hides_no_token(other: str) -> None:
    """Cookies know no ports: those of every server on this machine are sent here."""
    for both in (f"{other}; {COOKIE}={TOKEN}", f"{COOKIE}={TOKEN}; {other}", f"{other};{COOKIE}={TOKEN};"):
        assert LOCKED.operator({"cookie": both}) == "alice"


def test_each_operator_is_told_apart() -> None:
    assert LOCKED.operator({"authorization": "Bearer another-token-of-bob"}) == "bob"
    assert OPEN.operator({"authorization": "Bearer whatever"}) == ""
    assert Doorman(tokens={"carol": "any/legal+one~is=="}).operator({"cookie": f"{COOKIE}=any/legal+one~is=="})


async def asked(
    doorman: Doorman, chunks: list[bytes], app: Any = None, **scope: Any
) -> tuple[list[dict], bytes, dict]:
    """Ask through the guard; return what was sent, what the app read, and its scope."""
    sent: list[dict] = []
    read, seen = bytearray(), {}

    async def reads(inner: Any, receive: Any, send: Any) -> None:
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
    await Guard(app or reads, doorman)({**base, **scope}, receive, send)
    return sent, bytes(read), seen


def ask(doorman: Doorman, *chunks: bytes, **scope: Any) -> tuple[list[dict], bytes, dict]:
    return asyncio.run(asked(doorman, list(chunks), **scope))


def headers_of(sent: list[dict]) -> dict[bytes, bytes]:
    return dict(sent[0]["headers"])


HERE = (b"host", b"localhost")
LONG = (b"content-length", b"%d" % (MOST_BODY_BYTES + 1))
RIGHT = (b"authorization", f"Bearer {TOKEN}".encode())


@pytest.mark.parametrize(
    ("status", "scope"),
    [(200, {"headers": [HERE, RIGHT]}), (200, {"headers": [HERE, RIGHT], "path": "/api/v1/stats"}),
     (200, {"path": "/health/live"}), (421, {"headers": [(b"host", b"evil.example")]}), (401, {}),
     (403, {"headers": [HERE, RIGHT, (b"origin", b"http://evil.example")], "method": "POST"}),
     (413, {"headers": [HERE, RIGHT, LONG], "method": "POST"}),
     (303, {"query_string": f"token={TOKEN}".encode()})],
)  # fmt: skip
def test_every_answer_tells_browsers_what_to_refuse(status: int, scope: dict[str, Any]) -> None:
    sent, _, _ = ask(LOCKED, **scope)
    told = headers_of(sent)
    assert sent[0]["status"] == status
    assert len(told) == len(sent[0]["headers"]), "each once"
    assert b"frame-ancestors 'none'" in told[b"content-security-policy"]
    assert b"default-src 'self'" in told[b"content-security-policy"]
    assert told[b"x-content-type-options"] == b"nosniff"
    assert told[b"x-frame-options"] == b"DENY"
    assert told[b"referrer-policy"] == b"no-referrer", "the token in an address goes nowhere"
    assert (told.get(b"cache-control") == b"no-store") == (scope.get("path", "/") != "/")
    assert (told.get(b"www-authenticate") == b"Bearer") == (status == 401)
    if status >= 400:
        assert told[b"content-type"] == b"application/problem+json"
        assert json.loads(sent[1]["body"])["status"] == status
        assert int(told[b"content-length"]) == len(sent[1]["body"])


@pytest.mark.parametrize(
    ("length", "status"),
    [(b"%d" % (MOST_BODY_BYTES + 1), 413), (b"%d" % MOST_BODY_BYTES, 200), (b"0", 200), (b"9" * 5_000, 413),
     (b"-1", 200), (b"\xb2", 200), (b"", 200), (b"1e9", 200)],
)  # fmt: skip
def test_a_long_body_is_refused_by_its_length(length: bytes, status: int) -> None:
    """What is no number is the HTTP server's business, and the body is measured all the same."""
    sent, read, _ = ask(OPEN, b"x", method="POST", headers=[HERE, (b"content-length", length)])
    assert (sent[0]["status"], read) == (status, b"x" if status == 200 else b"")


def test_a_long_body_without_a_length_ends() -> None:
    sent, read, _ = ask(OPEN, *[b"x" * 500_000] * 5, method="POST")
    assert sent == []
    assert len(read) <= MOST_BODY_BYTES
    assert ask(OPEN, b"x" * 500_000, method="POST")[0][0]["status"] == 200
    assert ask(OPEN, b"x" * MOST_BODY_BYTES, method="POST")[0][0]["status"] == 200
    lies = [HERE, (b"content-length", b"5")]
    assert len(ask(OPEN, *[b"x" * 500_000] * 5, method="POST", headers=lies)[1]) <= MOST_BODY_BYTES


def test_what_an_app_says_to_a_long_body_is_told_as_a_refusal() -> None:
    """It sees a client that went away, and may answer all the same."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] == "http.request":
            pass
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"cannot be parsed"})

    sent, _, _ = ask(OPEN, *[b"x" * 500_000] * 5, method="POST", app=app)
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == json.loads(sent[1]["body"])["status"] == 413
    assert len(headers_of(sent)) == len(sent[0]["headers"])


@pytest.mark.parametrize(("path", "kept"), [("/", b"/"), ("/a", b"/a"), ("//evil.example/x", b"/evil.example/x"),
                                            ("/\\evil.example", b"/evil.example"), ("", b"/"),
                                            ("/\\/\\evil.example", b"/evil.example"), ("///", b"/"),
                                            ("/\t//evil.example", b"/%09//evil.example"),
                                            ("/a\r\nx: y", b"/a%0D%0Ax%3A%20y"), ("/ä?b", b"/%C3%A4%3Fb"),
                                            ("https://evil.example", b"/https%3A//evil.example")])  # fmt: skip
def test_a_token_in_the_address_becomes_a_cookie_here(path: str, kept: bytes) -> None:
    sent, _, _ = ask(LOCKED, path=path, query_string=f"token={TOKEN}".encode())
    told = headers_of(sent)
    assert (sent[0]["status"], told[b"location"]) == (303, kept)
    assert told[b"set-cookie"] == f"{COOKIE}={TOKEN}; HttpOnly; SameSite=Strict; Path=/".encode()


@pytest.mark.parametrize(
    "query", [b"token=wrong", b"token=%ff%fe", b"token=\xff\xe4", b"token=", b"token", b"&=%"]
)
def test_a_wrong_token_in_the_address_sets_nothing(query: bytes) -> None:
    sent, _, _ = ask(LOCKED, query_string=query)
    assert sent[0]["status"] == 401
    assert b"set-cookie" not in headers_of(sent)


@pytest.mark.parametrize(
    ("status", "scope"),
    [(421, {"headers": [(b"host", b"evil.example")]}), (401, {"method": "POST"}), (401, {"method": "HEAD"}),
     (403, {"method": "POST", "headers": [HERE, (b"origin", b"http://evil.example")]})],
)  # fmt: skip
def test_a_right_token_in_the_address_is_for_pages_of_ours_alone(status: int, scope: dict[str, Any]) -> None:
    sent, _, _ = ask(LOCKED, query_string=f"token={TOKEN}".encode(), **scope)
    assert sent[0]["status"] == status
    assert b"set-cookie" not in headers_of(sent)
    assert ask(LOCKED, type="websocket", query_string=f"token={TOKEN}".encode())[0][0]["type"] == "websocket.close"


def test_without_tokens_an_address_sets_none() -> None:
    assert ask(OPEN, query_string=b"token=anything")[0][0]["status"] == 200


def test_the_app_is_told_who_asks() -> None:
    told = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    assert ask(LOCKED, headers=told)[2]["state"]["operator"] == "alice"


@pytest.mark.parametrize(
    ("doorman", "headers"),
    [(LOCKED, [HERE]), (OPEN, [HERE, (b"origin", b"http://evil.example")]), (OPEN, [(b"host", b"evil.example")]),
     (OPEN, [HERE, (b"sec-fetch-site", b"cross-site")]), (OPEN, [HERE, (b"origin", b"http://[")])],
)  # fmt: skip
def test_a_refused_socket_is_closed(doorman: Doorman, headers: list[tuple[bytes, bytes]]) -> None:
    sent, _, _ = ask(doorman, type="websocket", headers=headers)
    assert [one["type"] for one in sent] == ["websocket.close"]
    assert sent[0]["code"] == 1008


def test_what_is_neither_request_nor_socket_goes_through() -> None:
    assert ask(LOCKED, type="lifespan")[2]["type"] == "lifespan"
