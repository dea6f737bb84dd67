"""A schema registry that fails on demand: Confluent's paths over real HTTP, for what a sound one never answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import UUID

#: Instead of an HTTP code: 200 and text that is no JSON, 200 and JSON that is no answer, silence, half of the
#: truth and a closed connection, a byte now and then for ever, and hundreds of megabytes.
GARBAGE, NONSENSE, HANG, CUT, DRIP, FLOOD = -1, -2, -3, -4, -5, -6
_FLOOD_MEGABYTES = 300

#: An Avro schema that contains itself, and so can't be measured.
RECURSIVE = json.dumps({
    "type": "record", "name": "Order", "fields": [
        {"name": "orderId", "type": "string"}, {"name": "next", "type": ["null", "Order"]},
    ],
})  # fmt: skip


def huge(characters: int) -> str:
    """Return an Avro schema of at least that many characters, sound but for its size."""
    fields = [{"name": "orderId", "type": "string", "doc": "o" * characters}]
    return json.dumps({"type": "record", "name": "Order", "fields": fields})


class Held(NamedTuple):
    """A registered schema; ``kind`` as the API calls it: AVRO, JSON or PROTOBUF."""

    schema_id: int
    subject: str
    version: int
    text: str
    kind: str
    references: Sequence[dict[str, Any]] = ()

    @property
    def guid(self) -> str:
        """Its global id."""
        return str(UUID(int=(0xA << 124) + self.schema_id))

    def told(self) -> dict[str, Any]:
        """Return it as the API does: Avro is what needs no saying."""
        kind = {} if self.kind == "AVRO" else {"schemaType": self.kind}
        return {
            "subject": self.subject,
            "version": self.version,
            "id": self.schema_id,
            "schema": self.text,
            "references": list(self.references),
            **kind,
        }


class StubRegistry:
    """A server on a port of its own, which keeps it while it is down."""

    def __init__(self) -> None:
        self.held: list[Held] = []
        #: What is answered in place of the truth: an HTTP code, one of the above, or a text of JSON with HTTP 200.
        self.fault: int | str | None = None
        #: The fault is for paths that end so; all do by default.
        self.faulty = ""
        #: Whether schemas have global ids, too, as Confluent's registry gives them from 8.0 on.
        self.has_guids = False
        #: What a request has to bring as its ``Authorization``; None: nothing.
        self.secret: str | None = None
        #: Method and path of each request so far.
        self.asked: list[str] = []
        self._port = 0
        self._over = threading.Event()
        self.up()

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self._port}"

    def add(
        self, text: str, kind: str = "AVRO", subject: str = "orders-value", schema_id: int | None = None,
        references: Iterable[str] = (),
    ) -> int:  # fmt: skip
        """Register a schema, whatever it is worth, that refers to first versions of others; return its id."""
        refers = [{"name": one, "subject": one, "version": 1} for one in references]
        version = 1 + sum(one.subject == subject for one in self.held)
        self.held.append(Held(schema_id or len(self.held) + 1, subject, version, text, kind, refers))
        return self.held[-1].schema_id

    def up(self) -> None:
        """Answer, from now on."""
        self._over.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def down(self) -> None:
        """Close the port: connections are refused. Who hangs is let go."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, method: str, path: str, body: dict[str, Any], authorization: str | None) -> tuple[int, str]:
        """Return the HTTP code and text for a request."""
        self.asked.append(f"{method} {path}")
        if (told := self._failing(path)) is not None:
            return told
        if self.secret is not None and authorization != self.secret:
            return 401, json.dumps({"error_code": 40101, "message": "who are you?"})
        return self._truth(method, [unquote(one) for one in path.strip("/").split("/")], body)

    def _failing(self, path: str) -> tuple[int, str] | None:
        """Return the answer of a fault; None where there is none, or where only its way is wrong."""
        fault = self.fault
        if fault is None or fault in (CUT, DRIP, FLOOD) or not path.endswith(self.faulty):
            return None
        if fault == HANG:
            self._over.wait(120)
            return 503, ""
        if isinstance(fault, str):
            return 200, fault
        if fault in (GARBAGE, NONSENSE):
            return 200, "<html>welcome to the proxy</html>" if fault == GARBAGE else '["nonsense"]'
        return fault, json.dumps({"error_code": fault * 100 + 1, "message": "told to fail"})

    def body(self, text: bytes, path: str) -> Iterator[bytes]:
        """Yield an answer's body as it comes: at once, or as the fault is."""
        fault = self.fault if path.endswith(self.faulty) else None
        if fault == CUT:
            text = text[: len(text) // 2]
        yield text
        while fault == DRIP and not self._over.wait(0.05):
            yield b" "
        for _ in range(_FLOOD_MEGABYTES if fault == FLOOD else 0):
            yield b" " * (1 << 20)

    def _truth(self, method: str, path: list[str], body: dict[str, Any]) -> tuple[int, str]:
        match method, path:
            case "GET", ["subjects"]:
                return _found(sorted({one.subject for one in self.held}))
            case "GET", ["schemas", "ids", schema_id, *rest]:
                return _of_id([one for one in self.held if str(one.schema_id) == schema_id], rest)
            case "GET", ["subjects", subject, "versions", *rest]:
                return _of_subject([one for one in self.held if one.subject == subject], rest)
            case "GET", ["schemas", "guids", guid] if self.has_guids:
                return _of_id([one for one in self.held if one.guid == guid], [])
            case "POST", ["subjects", subject]:
                same = self._same(subject, body)
                return (
                    _found(same[-1].told() | self._guid(same[-1].schema_id)) if same else _missing(40403, "schema")
                )
            case "POST", ["subjects", subject, "versions"]:
                same = self._same(subject, body)
                known = (
                    same[-1].schema_id
                    if same
                    else self.add(body["schema"], body.get("schemaType", "AVRO"), subject)
                )
                return _found({"id": known} | self._guid(known))
            case "POST", ["compatibility", "subjects", subject, "versions", *_]:
                known = any(one.subject == subject for one in self.held)
                return _found({"is_compatible": True}) if known else _missing(40401, "subject")
        return 404, json.dumps({"error_code": 404, "message": "HTTP 404 Not Found"})

    def _guid(self, schema_id: int) -> dict[str, str]:
        held = next(one for one in self.held if one.schema_id == schema_id)
        return {"guid": held.guid} if self.has_guids else {}

    def _same(self, subject: str, body: dict[str, Any]) -> list[Held]:
        return [one for one in self.held if (one.subject, one.text) == (subject, body["schema"])]


def _of_id(held: list[Held], rest: list[str]) -> tuple[int, str]:
    if not held:
        return _missing(40403, "schema")
    if rest == ["subjects"]:
        return _found([one.subject for one in held])
    if rest == ["versions"]:
        return _found([{"subject": one.subject, "version": one.version} for one in held])
    return _found(
        {name: told for name, told in held[0].told().items() if name in ("schema", "schemaType", "references")}
    )


def _of_subject(held: list[Held], rest: list[str]) -> tuple[int, str]:
    if not held:
        return _missing(40401, "subject")
    if not rest:
        return _found([one.version for one in held])
    wanted = str(held[-1].version) if rest[0] == "latest" else rest[0]
    found = [one for one in held if str(one.version) == wanted]
    return _found(found[0].told()) if found else _missing(40402, "version")


def _found(told: Any) -> tuple[int, str]:
    return 200, json.dumps(told)


def _missing(code: int, what: str) -> tuple[int, str]:
    return 404, json.dumps({"error_code": code, "message": f"no such {what}"})


def _handler(stub: StubRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
            path = urlsplit(self.path).path
            code, text = stub.answer(self.command, path, told, self.headers.get("authorization"))
            self.send_response(code)
            self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
            if stub.fault not in (DRIP, FLOOD):  # else it ends with the connection
                self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            with suppress(OSError):  # nobody listens any more
                for part in stub.body(text.encode(), path):
                    self.wfile.write(part)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            """Say nothing: ``asked`` knows."""

    return Handler


@contextmanager
def stub_registry() -> Iterator[StubRegistry]:
    """Yield a stub that is up; it is down afterwards."""
    stub = StubRegistry()
    try:
        yield stub
    finally:
        stub.down()
