"""The registry that fails on demand, asked by Confluent's own client and by ours."""

from __future__ import annotations

import gzip
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from kafka_orders.domain.errors import DecodeError, OutageError, RefusedError, SettingsError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.secrets import refuse_readable_registry
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.answers import MOST_ANSWER_BYTES
from kafka_orders.formats.base import MOST_SCHEMA_BYTES, Format
from kafka_orders.formats.choice import contract_format, open_format
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.protoc import files_of
from kafka_orders.formats.registry import SchemaRegistry
from tests.support.stub_registry import (
    CUT,
    DRIP,
    FLOOD,
    GARBAGE,
    HANG,
    NONSENSE,
    RECURSIVE,
    StubRegistry,
    huge,
    stub_registry,
)

AVRO = contract_format("avro")
PLAIN = {"max.retries": "0", "timeout": "1"}  # a busy machine takes more than 0.3 s for an answer


@pytest.fixture
def stub() -> Iterator[StubRegistry]:
    with stub_registry() as made:
        yield made


def test_confluents_client_takes_it_for_a_registry(stub: StubRegistry) -> None:
    """Registration, lookup, ids, versions, and what is not there."""
    client = SchemaRegistryClient({"url": stub.url, "timeout": 10})
    first = client.register_schema("a-value", Schema(AVRO.text, "AVRO"))
    other = stub.add('{"type": "object"}', "JSON", "b/c value")
    assert client.lookup_schema("a-value", Schema(AVRO.text, "AVRO")).schema_id == first
    assert (
        SchemaRegistryClient({"url": stub.url, "timeout": 10}).register_schema(
            "a-value", Schema(AVRO.text, "AVRO")
        )
        == first
    )
    assert client.test_compatibility("a-value", Schema('"int"', "AVRO"))  # a stub knows no rule
    assert client.get_schema(other).schema_type == "JSON"
    assert client.get_subjects_by_schema_id(other) == ["b/c value"]
    assert [(one.subject, one.version) for one in client.get_schema_versions(first)] == [("a-value", 1)]
    assert client.get_subjects() == ["a-value", "b/c value"]
    assert client.get_versions("a-value") == [1]
    assert client.get_latest_version("a-value").schema_id == first
    assert stub.asked[0] == "POST /subjects/a-value/versions"
    for ask, code in (
        (lambda: client.get_schema(99), 40403),
        (lambda: client.get_versions("none"), 40401),
        (lambda: client.get_version("a-value", 7), 40402),
        (lambda: client.lookup_schema("a-value", Schema('"int"', "AVRO")), 40403),
        (lambda: client.get_schema_by_guid("nonsense"), 404),
    ):
        with pytest.raises(SchemaRegistryError) as seen:
            ask()
        assert (seen.value.http_status_code, seen.value.error_code) == (404, code)


#: All that is no answer, whatever was asked.
FAULTS: list[int | str] = [
    400, 401, 403, 405, 429, 500, 501, 503, GARBAGE, NONSENSE, HANG, CUT, DRIP, FLOOD, "", "{}", "5", "null",
    "true", '"orders-value"', "[1, 2]", '[["orders-value"]]',
]  # fmt: skip
UNFRAMED = AVRO.encode({"orderId": "1", "product": "Tea", "price": 1.0})
GUID = b"\1" + bytes(16)


def codec(stub: StubRegistry) -> Codec:
    return Codec(AVRO, registry=(SchemaRegistry(stub.url, PLAIN), Naming("orders")))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_an_outage_and_passes(stub: StubRegistry, fault: int | str) -> None:
    """Nothing of it is the record's fault, and nothing of it is remembered: whether read by frame or written."""
    head, asked = b"\0" + stub.add(AVRO.text).to_bytes(4, "big"), codec(stub)
    stub.fault = fault
    for question in (
        lambda: asked.decode(head + UNFRAMED),
        lambda: asked.decode(UNFRAMED, [("__value_schema_id", GUID)]),
        lambda: asked.writes("orders"),
    ):
        with pytest.raises(OutageError, match="no order was touched"):
            question()
    stub.fault = None
    assert asked.decode(head + UNFRAMED)["product"] == "Tea"
    assert asked.writes("orders").encode({"orderId": "1", "product": "Tea", "price": 1.0}) == head + UNFRAMED
    with pytest.raises(DecodeError, match="is not in the schema registry"):
        asked.decode(b"\0\0\0\0\7" + UNFRAMED)
    with pytest.raises(DecodeError, match="knows no global ids"):  # a stub is an old one
        asked.decode(UNFRAMED, [("__value_schema_id", GUID)])


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/subjects", "{}"), ("/subjects", '"orders-value"'), ("/subjects", "[1]"), ("/ids/1", "{}"),
        ("/ids/1", '{"schema": 5}'), ("/ids/1", '{"schema": "int", "schemaType": 5}'), ("/ids/1", 409),
        ("/ids/1", 422), ("/ids/1", '{"error_code": 40403}'),
    ],
)  # fmt: skip
def test_half_an_answer_is_an_outage_and_passes(stub: StubRegistry, path: str, answer: int | str) -> None:
    """Sound JSON of the wrong shape, for one of the two questions that an id takes; or a refusal of nothing."""
    head, asked = b"\0" + stub.add(AVRO.text).to_bytes(4, "big"), codec(stub)
    stub.fault, stub.faulty = answer, path
    with pytest.raises(OutageError, match="no order was touched"):
        asked.decode(head + UNFRAMED)
    stub.fault = None
    assert asked.decode(head + UNFRAMED)["product"] == "Tea"


@pytest.mark.parametrize("told", ["-1", "4294967296", '"1"', "1.5", "true", "null"])
def test_an_id_that_is_none_is_not_written(stub: StubRegistry, told: str) -> None:
    """Nor remembered."""
    asked = codec(stub)
    stub.fault = f'{{"id": {told}, "version": 1, "subject": "orders-value", "schema": "x"}}'
    with pytest.raises(OutageError, match="no number of a schema"):
        asked.writes("orders")
    stub.fault = None
    assert asked.writes("orders").encode({"orderId": "1", "product": "Tea", "price": 1.0})[:5] == b"\0\0\0\0\1"


@pytest.mark.parametrize("told", ["null", "5", '"x"'])
def test_without_a_global_id_there_is_no_header(stub: StubRegistry, told: str) -> None:
    """Most registries have none; frames need none."""
    stub.fault = f'{{"id": 7, "guid": {told}, "version": 1, "subject": "orders-value", "schema": "x"}}'
    asked = Codec(AVRO, registry=(SchemaRegistry(stub.url, PLAIN), Naming("orders")), in_header=True)
    with pytest.raises(SettingsError, match=r"schema_id_in = 'header'.*no global ids.*nothing was sent"):
        asked.writes("orders")
    order = {"orderId": "1", "product": "Tea", "price": 1.0}
    assert codec(stub).writes("orders").encode(order)[:5] == b"\0\0\0\0\7"


def test_a_global_id_waits_for_a_registry_that_fails_at_it_alone(stub: StubRegistry) -> None:
    """That it answers otherwise says something of an unknown path only, not of a hiccup."""
    asked, stub.faulty = codec(stub), "-000000000000"
    for fault in (500, 503, HANG, CUT, "{}"):
        stub.fault = fault
        with pytest.raises(OutageError, match="no order was touched"):
            asked.decode(UNFRAMED, [("__value_schema_id", GUID)])


def test_a_wrong_address_is_an_outage(stub: StubRegistry) -> None:
    """There everything is HTTP 404, which Confluent's server has a code for, too: it tells nothing of an id."""
    known, registry = stub.add(AVRO.text), SchemaRegistry(f"{stub.url}/elsewhere", PLAIN)
    with pytest.raises(OutageError, match="HTTP 404"):
        registry.by_id(known)
    with pytest.raises(OutageError, match="HTTP 404"):
        registry.id_of("orders-value", AVRO)


def test_an_endless_answer_takes_neither_time_nor_memory(stub: StubRegistry) -> None:
    """A byte now and then keeps a connection for ever; hundreds of megabytes would be read, and thrice kept."""
    known = stub.add(AVRO.text)
    for fault, limit, why in (
        (DRIP, "0.3", "not whole after 0.3 s"),
        (FLOOD, "5", f"more than {MOST_ANSWER_BYTES} bytes"),
    ):
        stub.fault, began = fault, time.monotonic()
        with pytest.raises(OutageError, match=why):
            SchemaRegistry(stub.url, {**PLAIN, "timeout": limit}).by_id(known)
        assert time.monotonic() - began < 6


def test_a_wrong_password_is_an_outage(stub: StubRegistry) -> None:
    """And the right one is none; neither is told."""
    known, stub.secret = stub.add(AVRO.text), "Basic bWU6cmlnaHQ="
    with pytest.raises(OutageError, match="401") as seen:
        SchemaRegistry(stub.url, {**PLAIN, "basic.auth.user.info": "me:wrong"}).by_id(known)
    assert "wrong" not in str(seen.value)
    assert SchemaRegistry(stub.url, {**PLAIN, "basic.auth.user.info": "me:right"}).by_id(known)


def test_it_comes_back_where_it_was(stub: StubRegistry) -> None:
    """With what it had; while it is down, connections are refused."""
    known, url = stub.add(AVRO.text), stub.url
    stub.down()
    with pytest.raises(OutageError, match="Connect"):
        SchemaRegistry(url, PLAIN).by_id(known)
    stub.up()
    assert stub.url == url
    assert SchemaRegistry(url, PLAIN).by_id(known).text == AVRO.text


@pytest.mark.parametrize(
    ("text", "why"),
    [(RECURSIVE, "contains itself"), (huge(MOST_SCHEMA_BYTES), "characters"), ("{", "cannot be used")],
    ids=["recursive", "huge", "broken"],
)
def test_a_dangerous_schema_is_the_records_fault(stub: StubRegistry, text: str, why: str) -> None:
    """A writer's schema that can't be used: a dead letter, no crash, no outage."""
    known = stub.add(text)
    with pytest.raises(DecodeError, match=why):
        codec(stub).decode(b"\0" + known.to_bytes(4, "big") + b"\2a")


@pytest.mark.parametrize(
    ("code", "body"), [(405, '{"message": "no"}'), (404, "<html>no such route</html>"), (400, "")]
)
def test_a_subject_that_cannot_be_asked_for_is_an_outage(stub: StubRegistry, code: int, body: str) -> None:
    """Where it knows a global id, but something before it lets no POST through."""
    stub.add(AVRO.text)
    known, asked = stub.answer, lambda path: (200, json.dumps({"schema": AVRO.text}))

    def answer(method: str, path: str, told: dict[str, Any], login: str | None) -> tuple[int, str]:
        if path.startswith("/schemas/guids/"):
            return asked(path)
        return (code, body) if method == "POST" else known(method, path, told, login)

    stub.answer = answer  # type: ignore[method-assign]
    codec = Codec(AVRO, registry=(SchemaRegistry(stub.url, PLAIN), Naming("orders")))
    order = AVRO.encode({"orderId": "1", "product": "Tea", "price": 4.5})
    headers: Headers = [("__value_schema_id", b"\1" + bytes(16))]
    with pytest.raises(OutageError):
        codec.decode(order, headers)
    stub.answer = lambda *given: asked("") if given[1].startswith("/schemas/guids/") else known(*given)  # type: ignore[method-assign]
    assert codec.decode(order, headers)["product"] == "Tea"


def test_a_compressed_answer_is_none() -> None:
    """A little of it may be hundreds of megabytes; none is asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["accept-encoding"])
            body = gzip.compress(b'["orders-value"]')
            self.send_response(200)
            for name, value in (("content-encoding", "gzip"), ("content-length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(OutageError, match="compressed"):
            SchemaRegistry(f"http://127.0.0.1:{server.server_port}", PLAIN).by_id(1)
        server.shutdown()
    assert set(asked) == {"identity"}


ORDER = (
    'syntax = "proto3"; package t; import "paid.proto"; '
    "message Order { optional string orderId = 1; optional Paid paid = 2; }"
)
PAID = 'syntax = "proto3"; package t; import "sum.proto"; message Paid { optional Sum sum = 1; }'
SUM = 'syntax = "proto3"; package t; message Sum { optional double amount = 1; }'
PAYED = {"orderId": "1", "paid": {"sum": {"amount": 4.5}}}


@pytest.fixture
def own(tmp_path: Path) -> Format:
    """A schema that imports a file which imports another one."""
    for name, text in (("order.proto", ORDER), ("paid.proto", PAID), ("sum.proto", SUM)):
        (tmp_path / name).write_text(text)
    return open_format(str(tmp_path / "order.proto"))


def importing(
    stub: StubRegistry, own: Format, paid: str = PAID, inner: str = SUM, back: str = ""
) -> Callable[[], Any]:
    """Register the schema and what it imports; return what decodes an order by it."""
    stub.add(inner, "PROTOBUF", "sum.proto", references=[back] if back else [])
    stub.add(paid, "PROTOBUF", "paid.proto", references=["sum.proto"])
    known = stub.add(ORDER + "\n", "PROTOBUF", references=["paid.proto"])
    codec = Codec(own, registry=(SchemaRegistry(stub.url, PLAIN), Naming("orders")))
    return lambda: codec.decode(b"\0" + known.to_bytes(4, "big") + b"\0" + own.encode(PAYED))


def test_imports_of_imports_are_fetched_once(stub: StubRegistry, own: Format) -> None:
    """On the way of the first order of an id."""
    decode = importing(stub, own)
    assert decode() == decode() == PAYED
    asked = [one for one in stub.asked if ".proto" in one]
    assert asked == ["GET /subjects/paid.proto/versions/1", "GET /subjects/sum.proto/versions/1"]


def test_a_text_imports_what_is_registered_in_base64(stub: StubRegistry, own: Format) -> None:
    """As where Confluent's Python client registered the one, and a Java client the other."""
    inner = files_of(SUM).file[-1]
    coded = b64encode(inner.SerializeToString()).decode()
    assert importing(stub, own, inner=coded)() == PAYED
    stub.held.clear()
    inner.message_type[0].name = "Other"
    with pytest.raises(DecodeError, match="Sum"):
        importing(stub, own, inner=b64encode(inner.SerializeToString()).decode())()


@pytest.mark.parametrize("name", ["paid.proto", "sum.proto"])
@pytest.mark.parametrize("fault", [500, CUT, "{}"])
def test_an_outage_at_an_import_is_one(stub: StubRegistry, own: Format, name: str, fault: int | str) -> None:
    """Orders wait, and nothing of it is remembered."""
    decode = importing(stub, own)
    stub.fault, stub.faulty = fault, f"/{name}/versions/1"
    with pytest.raises(OutageError, match="no order was touched"):
        decode()
    stub.fault = None
    assert decode() == PAYED


@pytest.mark.parametrize("name", ["paid.proto", "sum.proto"])
def test_an_import_that_is_missing_is_the_records_fault(stub: StubRegistry, own: Format, name: str) -> None:
    """It is named, with subject and version."""
    decode = importing(stub, own)
    stub.held = [one for one in stub.held if one.subject != name]
    with pytest.raises(DecodeError, match=f"schema id 3 imports {name}, which: version 1 of {name} is not in"):
        decode()


def test_imports_are_no_way_around_the_limits(stub: StubRegistry, own: Format) -> None:
    """Neither large nor endless nor in a circle; names lead nowhere else; strangers' are not even asked for."""
    blanks = " " * (MOST_SCHEMA_BYTES // 2)
    with pytest.raises(DecodeError, match="100 files or"):
        importing(stub, own, PAID + blanks, SUM + blanks)()
    stub.held.clear()
    circle = SUM.replace("package t;", 'package t; import "paid.proto";')
    with pytest.raises(DecodeError, match="cannot be used"):
        importing(stub, own, inner=circle, back="paid.proto")()
    stub.held.clear()
    decode = importing(stub, own)
    for number in range(100):
        stub.add(SUM, "PROTOBUF", f"{number}.proto", references=[f"{number + 1}.proto"])
    stub.add(SUM, "PROTOBUF", "100.proto")
    known = stub.add(ORDER, "PROTOBUF", references=["0.proto"])
    codec = Codec(own, registry=(SchemaRegistry(stub.url, PLAIN), Naming("orders")))
    with pytest.raises(DecodeError, match="100 files or"):
        codec.decode(b"\0" + known.to_bytes(4, "big") + b"\0")
    outside = stub.add(ORDER, "PROTOBUF", references=["../out.proto"])
    stub.add(SUM, "PROTOBUF", "../out.proto")
    with pytest.raises(DecodeError, match="no name below"):
        codec.decode(b"\0" + outside.to_bytes(4, "big") + b"\0")
    stub.asked.clear()
    foreign = stub.add(ORDER, "PROTOBUF", "others-value", references=["paid.proto"])
    with pytest.raises(DecodeError, match="belongs to others-value"):
        codec.decode(b"\0" + foreign.to_bytes(4, "big") + b"\0")
    assert [one for one in stub.asked if ".proto" in one] == []
    assert decode() == PAYED


def test_nothing_is_registered_where_an_import_is_too_large(
    stub: StubRegistry, tmp_path: Path, own: Format
) -> None:
    """Together they would not be read again."""
    (tmp_path / "sum.proto").write_text(SUM + " " * MOST_SCHEMA_BYTES)
    with pytest.raises(SettingsError, match="characters"):
        SchemaRegistry(stub.url, PLAIN).id_of("orders-value", own)
    assert stub.held == []


@pytest.mark.parametrize(
    "url", ["localhost:8081", "http://a,me:secret@localhost:8081", "ftp://localhost:8081", ","]
)
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(
        SettingsError, match=r"has to begin with http:// or https://: '(ftp://)?(localhost:8081)?'$"
    ):
        SchemaRegistry(url)


def test_a_registry_that_answers_is_not_said_to_be_silent(stub: StubRegistry) -> None:
    """What it answers with is told, and what may be wrong; workers wait all the same."""
    for fault, said in ((None, "Apicurio's is /apis/ccompat/v7"), (500, r"HTTP 500 \(told to fail\): .* its log")):
        stub.fault = fault
        with pytest.raises(OutageError, match=said) as seen:
            SchemaRegistry(f"{stub.url}/elsewhere", PLAIN).numbers("orders-value")
        assert "does not answer" not in str(seen.value)


def test_no_address_of_several_holds_a_login_or_sends_one_readable() -> None:
    """The second is looked at as the first is."""
    for second, told, why in (
        ("http://me:secret@127.0.0.1:2", {}, "holds a login"),
        ("http://far.example:2", {"basic.auth.user.info": "me:secret"}, "readable over the network"),
    ):
        settings = replace(Settings(), registry_url=f"http://127.0.0.1:1,{second}", registry=told)
        with pytest.raises(RefusedError, match=why) as seen:
            refuse_readable_registry(settings)
        assert "secret" not in str(seen.value)
