"""Any bytes at all: each decoder gives a record or a typed error, soon, whatever a stranger sends or registers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafka_orders.domain.errors import DecodeError, InvalidOrderError, NotFoundError, SettingsError
from kafka_orders.domain.order import Contract
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.base import KINDS, MOST_BYTES, Kind
from kafka_orders.formats.choice import contract_format, make_format
from kafka_orders.formats.codec import CONTENT_TYPES, Codec
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.registry import Registered

#: The longest that one record may take, in seconds; looked at again before it is believed, since machines pause.
SLOW_SECONDS = 0.1
TYPED = (DecodeError, InvalidOrderError)

NESTED: dict[Kind, str] = {
    "avro": json.dumps({"type": "record", "name": "N", "fields": [
        {"name": "many", "type": {"type": "array", "items": "long"}},
        {"name": "by", "type": {"type": "map", "values": ["null", "string"]}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "when", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["A", "B"]}},
        {"name": "four", "type": {"type": "fixed", "name": "F", "size": 4}},
    ]}),
    "json": json.dumps({"type": "object", "properties": {
        "many": {"type": "array", "items": {"type": "number"}, "uniqueItems": True},
        "text": {"type": "string", "pattern": "^(a+)+$"}, "price": {"type": "string", "format": "decimal"},
        "inner": {"$ref": "#"}}}),
    "protobuf": """
        syntax = "proto3"; package google.type;
        message Decimal { string value = 1; }
        message N { repeated int64 many = 1; map<string, N> by = 2; Decimal price = 3; enum K { A = 0; B = 1; }
                    K kind = 4; oneof one { string text = 5; bytes raw = 6; } N inner = 7; }
    """,
}  # fmt: skip
FORMATS = {kind: contract_format(kind) for kind in KINDS}
INNER = {kind: make_format(kind, NESTED[kind], "N" if kind == "protobuf" else "") for kind in KINDS}
READS: dict[str, Callable[[bytes], Any]] = {
    **{f"contract-{kind}": one.reader(Contract()) for kind, one in FORMATS.items()},
    **{f"nested-{kind}": one.decode for kind, one in INNER.items()},
}


class Shelf:
    """In a registry's place: what it holds under each id."""

    def __init__(self, held: dict[int, Registered]) -> None:
        self.held = held

    def by_id(self, schema_id: int) -> Registered:
        if schema_id not in self.held:
            raise NotFoundError(f"schema id {schema_id} is not here")
        return self.held[schema_id]

    def by_guid(self, guid: str, subjects: frozenset[str]) -> Registered:
        raise NotFoundError(guid)


def framed(kind: Kind, *texts: str) -> Callable[[bytes, Any], Any]:
    held = {number: Registered(kind, text, frozenset({"t-value"}), {}) for number, text in enumerate(texts)}
    codec = Codec(FORMATS[kind], None, (Shelf(held), Naming("t")))  # type: ignore[arg-type]
    told = codec.reads(Contract()).told
    assert told is not None
    return told


OLDER = FORMATS["avro"].text.replace('"float"', '"int"')
FRAMED = {
    kind: framed(kind, FORMATS[kind].text, OLDER if kind == "avro" else FORMATS[kind].text) for kind in KINDS
}


def soon(read: Callable[..., Any], *given: Any) -> None:
    """Read; a record or a typed error, and both within the time."""
    for _ in range(3):
        began = time.perf_counter()
        with suppress(*TYPED):
            read(*given)
        if (took := time.perf_counter() - began) < SLOW_SECONDS:
            return
    pytest.fail(f"took {took:.3f} s: {given!r:.200}")


ORDER = {"orderId": "order-1", "product": "Tea", "price": 4.5}
SAMPLES = [one.encode(ORDER) for one in FORMATS.values()] + [
    b'{"many":[1,2.5],"text":"aaaa","price":"4.50","inner":{"many":[]}}',
    INNER["protobuf"].encode({"many": [1, 2], "text": "x", "kind": "B", "inner": {"many": [3]}}),
]
mutated = st.builds(
    lambda base, at, cut, put, times: base[: at % len(base)] + put * times + base[at % len(base) + cut :],
    st.sampled_from(SAMPLES), st.integers(0, 200), st.integers(0, 8), st.binary(max_size=6), st.integers(0, 40),
)  # fmt: skip
anything = st.one_of(st.binary(max_size=80), mutated)


@pytest.mark.parametrize("name", READS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payload=anything)
def test_any_bytes_are_a_record_or_a_typed_error(name: str, payload: bytes) -> None:
    """Neither a crash nor another error: it would stop the worker, or be taken for a handler's."""
    soon(READS[name], payload)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(payload=anything, schema_id=st.integers(0, 3), header=st.one_of(st.none(), st.binary(max_size=24)))
def test_any_frame_and_any_header_likewise(kind: Kind, payload: bytes, schema_id: int, header) -> None:
    """Known ids and unknown ones, broken places, ids in headers, content types of all kinds."""
    held = [] if header is None else [("__value_schema_id", header), ("content-type", header)]
    soon(FRAMED[kind], b"\0" + schema_id.to_bytes(4, "big") + payload, held)
    soon(FRAMED[kind], payload, [("content-type", CONTENT_TYPES[kind].encode())])


@pytest.mark.parametrize("name", READS)
def test_the_longest_of_all_are_soon_refused(name: str) -> None:
    """As much as is looked at, of the same, of nothing, of digits, of nesting; and more than that."""
    for unit in (b"\0", b"\xff", b"\x02", b"9", b"[", b'{"a":', b"\x0a\x01", b"\x3a\x04"):
        soon(READS[name], unit * ((MOST_BYTES - 1) // len(unit)))
        soon(READS[name], unit * (MOST_BYTES + 1))
    soon(READS[name], b'{"inner":' * 1000 + b"{}" + b"}" * 1000)


def laughs(levels: int) -> dict[str, Any]:
    """Return a record of records of records: two fields each, so many values of no byte at all."""
    kind: Any = "null"
    for level in range(levels):
        fields = [{"name": "a", "type": kind}, {"name": "b", "type": f"L{level - 1}" if level else "null"}]
        kind = {"type": "record", "name": f"L{level}", "fields": fields}
    return kind


@pytest.mark.parametrize("schema", [
    {"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]},
    {"type": "record", "name": "R", "fields": [{"name": "s", "type": {"type": "record", "name": "S", "fields": [
        {"name": "r", "type": {"type": "array", "items": "R"}}]}}]},
    {"type": "record", "name": "R", "namespace": "x", "fields": [{"name": "r", "type": ["null", "x.R"]}]},
    {"type": "record", "name": "R", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]},
    {"type": "record", "name": "R", "fields": [{"name": "n", "type": {"type": "array", "items": {
        "type": "record", "name": "Nothing", "fields": []}}}]},
    {"type": "record", "name": "R", "fields": [{"name": "n", "type": {"type": "array", "items": {
        "type": "fixed", "name": "None", "size": 0}}}]},
    laughs(30),
])  # fmt: skip
def test_schemas_that_could_crash_their_readers_are_refused(schema: dict[str, Any]) -> None:
    """In no time, and as what they are: not the record's fault where ours, a dead letter where a writer's."""
    began = time.perf_counter()
    with pytest.raises(SettingsError):
        AvroFormat(schema)
    assert time.perf_counter() - began < 1
    read = framed("avro", json.dumps(schema))
    with pytest.raises(DecodeError):
        read(b"\0\0\0\0\0" + b"\xfe\xff\xff\xff\x0f" * 3, [])
