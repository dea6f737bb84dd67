"""Any bytes at all: each decoder gives a record or a typed error, soon, whatever a stranger sends or registers."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_orders.domain.errors import DecodeError, InvalidOrderError, SettingsError
from kafka_orders.domain.headers import CONTENT_TYPE, SCHEMA_ID
from kafka_orders.domain.order import Contract
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.base import KINDS, MOST_BYTES, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.codec import CONTENT_TYPES
from kafka_orders.formats.flat_encode import zigzag
from kafka_orders.formats.json_schema import JsonFormat
from kafka_orders.formats.protobuf import ProtobufFormat

# The shelf is for tests/unit/test_codec.py.
from tests.fuzz.targets import HOSTILE, ORDER, SALE, SALES, TARGETS, Shelf, by_schema, record, shelved, typed  # noqa: F401
from tests.support.pipeline import ROOT

#: The longest that one record of so many bytes may take, in seconds of the processor; and what it may hold.
SLOW_SECONDS, LONG, MOST_HELD = 0.1, MOST_BYTES, 100 << 20
#: Lengths and counts that no payload has; and what opens something.
STRANGE = [zigzag(2**61, 63), zigzag(-(2**61), 63), b"\xff" * 9 + b"\1", b"\xae" * 100, zigzag(-1, 63),
           b"\xfe\xff\3", b"[", b"{", b'{"inner":', b"9", b'"', b"\\ud800", b"\x22", b"\x2a", b"\x72"]  # fmt: skip


def processor() -> float:
    """Return seconds of the processor so far, those of protoc included."""
    return sum(os.times()[:4])


def soon(read: Callable[..., Any], *given: Any) -> None:
    """Read; a record or a typed error, and both within the time; looked at again, since machines pause."""
    gc.freeze()  # what pytest holds is no worker's to look through
    try:
        for _ in range(5):
            began = processor()
            with typed():
                read(*given)
            if (took := processor() - began) < SLOW_SECONDS:
                return
    finally:
        gc.unfreeze()
    pytest.fail(f"took {took:.3f} s: {given!r:.200}")


Edit = tuple[int, int, bytes | None, int]
edits = st.lists(
    st.tuples(
        st.integers(0, 300), st.integers(0, 8),
        st.one_of(st.none(), st.binary(max_size=6), st.sampled_from(STRANGE)), st.integers(0, 64),
    ), min_size=1, max_size=4,
)  # fmt: skip


def edited(payload: bytes, changes: list[Edit]) -> bytes:
    """Replace some bytes by others, many times over; by themselves where there are no others."""
    for at, cut, put, times in changes:
        start = at % (len(payload) + 1)
        held = payload[start : start + cut]
        payload = payload[:start] + (held if put is None else put) * times + payload[start + cut :]
    return payload


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_any_bytes_are_a_record_or_a_typed_error(name: str, data: st.DataObject) -> None:
    """Neither a crash nor another error: it would stop the worker, or be taken for a handler's."""
    sound = st.builds(edited, st.sampled_from(TARGETS[name].seeds), edits)
    soon(TARGETS[name].read, data.draw(st.one_of(st.binary(max_size=80), sound)))


@pytest.mark.parametrize("name", TARGETS)
def test_the_targets_are_read_at_all(name: str) -> None:
    """Else nothing behind the first byte would be looked at."""
    with typed():
        TARGETS[name].read(TARGETS[name].seeds[0])
    if name != "headers":
        TARGETS[name].read(TARGETS[name].seeds[0])


FRAMED = {kind: shelved(kind, *HOSTILE) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@given(payload=st.binary(max_size=40), number=st.integers(0, len(HOSTILE)), header=st.binary(max_size=24))
def test_any_frame_and_any_header_likewise(kind: Kind, payload: bytes, number: int, header: bytes) -> None:
    """Known ids and unknown ones, broken places, ids in headers, content types of all kinds."""
    frame = b"\0" + number.to_bytes(4, "big")
    soon(FRAMED[kind], frame + payload, [])
    for told in (header, frame + header, b"\1" + bytes(15) + bytes([number]) + header):
        soon(FRAMED[kind], payload, [(SCHEMA_ID, told)])
    soon(FRAMED[kind], payload, [(CONTENT_TYPE, header)])
    soon(FRAMED[kind], payload, [(CONTENT_TYPE, CONTENT_TYPES[kind].encode() + b";" + header)])


@pytest.mark.parametrize("name", TARGETS)
def test_the_longest_of_all_are_soon_told(name: str) -> None:
    """Of the same, of nothing, of digits, of nesting, of empty messages; and what is longer is not looked into."""
    for unit in (
        b"\0",
        b"\xff",
        b"\2",
        b"9",
        b"[",
        b'{"a":',
        b'{"inner":',
        b"\x0a\1",
        b"\x22\0",
        b"\x2a\0",
        b"\x6a\0",
    ):
        soon(TARGETS[name].read, unit * (LONG // len(unit)))
        soon(TARGETS[name].read, unit * (MOST_BYTES + 1))


# What fuzzing has found.


@pytest.mark.parametrize(("name", "payload"), [
    ("json-loose", b"[]"), ("json-loose", b"1"), ("json-loose", b"null"), ("json-loose", b'"price"'),
    ("json-loose", b'{"product":1,"price":"sNaN"}'), ("json-loose", b'{"product":1,"price":"1E99999999999999"}'),
    ("json-rich", b'{"inner":' * 300 + b"{}" + b"}" * 300), ("protobuf-rich", b"\x12\1a\x1a\6\x0a\4sNaN\x0a\1b"),
    ("protobuf-unscaled", b"\x12\1a\x0a\1b\x1a\x0e\x0a\1\x7f\x18" + b"\xa0\xb9\xa4\xff\xff\xff\xff\xff\xff\1"),
])  # fmt: skip
def test_odd_values_are_refused(name: str, payload: bytes) -> None:
    """JSON that is no object, numbers that none can be summed with, and deep nesting."""
    with pytest.raises((DecodeError, InvalidOrderError)):
        TARGETS[name].read(payload)


@pytest.mark.parametrize("item", ["double", "float", "boolean", {"type": "fixed", "name": "F", "size": 3}])
@pytest.mark.parametrize("kind", ["items", "values"])
def test_what_is_passed_over_ends_with_the_bytes(item: Any, kind: str) -> None:
    """A count of 2**61 in a field that its reader does not have took fastavro years, and no signal ends them."""
    many = {"type": {"items": "array", "values": "map"}[kind], kind: item}
    own = AvroFormat(record("Order", orderId="string"))
    read = own.resolving(json.dumps(record("Order", many=many, orderId="string"))).decode
    key = b"" if kind == "items" else b"\2a"
    assert read(b"\2" + key + b"\1" * len(_of(item)) + b"\0\2x") == {"orderId": "x"}
    for count in (30_000_000, -30_000_000):
        soon(read, zigzag(count, 63) + zigzag(7, 63))


def _of(item: Any) -> bytes:
    return bytes({"double": 8, "float": 4, "boolean": 1}.get(item, 3) if isinstance(item, str) else 3)


def test_of_many_errors_the_first_is_told() -> None:
    """20,000 of them were listed first, in half a second."""
    lines = b'{"lines":[' + b",".join([b"{}"] * (LONG // 3 - 9)) + b"]}"
    soon(TARGETS["json-rich"].read, lines)
    with pytest.raises(InvalidOrderError, match=r'field lines\.0: "sku" is a required property'):
        TARGETS["json-rich"].read(lines)


def test_a_schema_is_compiled_once_whatever_place_is_told() -> None:
    """Each spelling of a place was a process of its own, of 60 ms."""
    read, order = shelved("protobuf", *HOSTILE, ("protobuf", "message")), contract_format("protobuf").encode(ORDER)
    for number in (2, len(HOSTILE)):
        frame = b"\0\0\0\0" + bytes([number])
        with typed():
            read(frame + b"\0", [])
        started = os.times()[2:4]
        for place in range(2, 120):
            with pytest.raises(DecodeError):
                read(frame + b"\2" + bytes([place]), [])
        assert os.times()[2:4] == started
    assert read(b"\0\0\0\0\2\x82\0\0" + order, [])[1] == "Tea", "the first, told in more bytes"
    assert os.times()[2:4] == started


def test_of_a_header_no_more_is_kept_than_its_id() -> None:
    """A thousand are remembered, and each may be a megabyte."""
    read, sound = shelved("avro", *HOSTILE), contract_format("avro").encode(ORDER)
    tracemalloc.start()
    try:
        for number in range(50):
            assert read(sound, [(SCHEMA_ID, bytes(5) + bytes([number]) * 100_000)])[1] == "Tea"
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


# Schemas, as a stranger may have registered them.


def laughs(levels: int) -> dict[str, Any]:
    """Return a record of records of records: two fields each, so many values of no byte at all."""
    kind: Any = "null"
    for level in range(levels):
        kind = record(f"L{level}", a=kind, b=f"L{level - 1}" if level else "null")
    return kind


def arrays(levels: int) -> str:
    return '{"type": "array", "items": ' * levels + '"int"' + "}" * levels


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


@pytest.mark.parametrize("schema", [
    record("R", r=["null", "R"]), record("R", s=record("S", r=array("R"))), record("x.R", r=["null", "x.R"]),
    record("R", r={"type": "map", "values": "R"}), record("A", b=["null", record("B", a=["null", "A"])]),
    record("R", n=array("null")), record("R", n=array(record("Nothing"))), record("R", n=array(laughs(1))),
    record("R", n=array({"type": "fixed", "name": "None", "size": 0})), record("R", n=array(laughs(3))),
    laughs(30), laughs(300), arrays(600), arrays(3_000),
    record("R", **{f"f{at}": "int" for at in range(10_000)}), {"type": "record", "name": "R"},
    record("x.R", n={**record("N", i="int"), "namespace": ""}, m=record("x.N", n=["null", "N"])),
    record("x.R", n={**record("N", i="int"), "namespace": ""}, m=record("x.N"), many=array("N")),
    record("x.R", n={"type": "fixed", "name": "null", "size": 100}, many=array("null")),
    record("R", f={"type": "fixed", "name": "F", "size": "a"}), record("R", f={"type": "fixed", "name": "F"}),
    record("R", f={"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": []}),
])  # fmt: skip
def test_schemas_that_could_crash_their_readers_are_refused(schema: str | dict[str, Any]) -> None:
    """In no time, and as what they are: not the record's fault where ours, a dead letter where a writer's."""
    began = processor()
    with pytest.raises(SettingsError):
        AvroFormat(schema)
    read = shelved("avro", ("avro", schema if isinstance(schema, str) else json.dumps(schema)))
    with pytest.raises(DecodeError):
        read(b"\0\0\0\0\0" + b"\xfe\xff\xff\xff\x0f" * 3, [])
    assert processor() - began < 1


@pytest.mark.parametrize("kind", ["string", "float", ["null", "string"]])
def test_thousands_of_fields_are_read_if_slowly(kind: Any) -> None:
    """A decoder that is compiled of so many took a second, or more levels than the compiler has."""
    began = processor()
    form = AvroFormat(record("R", **{f"f{at}": kind for at in range(4_000)}))
    assert processor() - began < 1
    soon(form.decode, b"\0" * 16_000)


words = st.sampled_from(["null", "array", "record", "Sale", "Line", [], {}, -5, 1e400, 2**70, "decimal"])
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), words)


def spoilt(held: Any, way: list[int], leaf: Any) -> Any:
    """Return JSON with something else at a place."""
    if not way or not held or not isinstance(held, dict | list):
        return leaf
    keys = list(held) if isinstance(held, dict) else range(len(held))
    key = keys[way[0] % len(keys)]
    made = dict(held) if isinstance(held, dict) else list(held)
    made[key] = spoilt(held[key], way[1:], leaf)
    return made


@settings(max_examples=300)
@given(way=st.lists(st.integers(0, 20), max_size=9), leaf=leaves, payload=st.binary(max_size=60))
def test_a_spoilt_schema_is_refused_or_reads(way: list[int], leaf: Any, payload: bytes) -> None:
    """Whatever stands where it should not."""
    by_schema(json.dumps(spoilt(SALE, way, leaf)), payload)


LOGICAL = [{"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
           {"type": "long", "logicalType": "timestamp-micros"}, {"type": "int", "logicalType": "time-millis"},
           {"type": "string", "logicalType": "uuid"}, {"type": "int", "logicalType": "date"}]  # fmt: skip
PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string", *LOGICAL]


def _wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(array), inner.map(lambda one: {"type": "map", "values": one}),
        inner.map(lambda one: one if one == "null" or isinstance(one, list) else ["null", one]),
        st.lists(inner, max_size=5).map(
            lambda kinds: record("R", **{f"f{at}": one for at, one in enumerate(kinds)})),
    )  # fmt: skip


def named(schema: Any, at: list[int]) -> Any:
    """Return a schema whose records are called differently."""
    if isinstance(schema, list):
        return [named(one, at) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: named(one, at) for key, one in schema.items()}
    if schema.get("type") == "record":
        at[0] += 1
        told["name"] = f"R{at[0]}"
    return told


def measured(schema: Any, payload: bytes) -> None:
    """Decode by what the guard lets through: soon, and without holding much."""
    form = AvroFormat(record("Top", top=schema))
    soon(form.decode, payload)
    tracemalloc.start()
    try:
        with typed():
            form.decode(payload)
        assert tracemalloc.get_traced_memory()[1] < MOST_HELD
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None)  # the time is measured by itself, on the processor
@given(st.recursive(st.sampled_from(PRIMITIVES), _wider, max_leaves=8), st.sampled_from([b"", *STRANGE[:6]]),
       st.sampled_from([b"\0", b"\2", b"\1", b"\2\0", b"\xff", b"\xfe\xff\3"]))  # fmt: skip
def test_what_the_guard_lets_through_is_soon_decoded(schema: Any, head: bytes, unit: bytes) -> None:
    """As many of any bytes as are looked at, by any schema."""
    try:
        measured(named(schema, [0]), (head + unit * LONG)[:LONG])
    except SettingsError:
        return


def test_the_values_of_a_record_are_counted_where_they_may_be_many() -> None:
    """A long text is read, and ten thousand lines are; ten times as many, or fields filled in by it, are not."""
    lines = AvroFormat(record("R", text="string", lines=array(record("Line", sku="string", count="int"))))
    few, many = ([{"sku": "tea-00001", "count": 2}] * number for number in (5_000, 20_000))
    long = {"text": "x" * 100_000, "lines": few}
    assert lines.decode(lines.encode(long)) == long
    with pytest.raises(DecodeError, match="a record of more than 150000 values is not decoded"):
        lines.decode(lines.encode({"text": "", "lines": many}))
    filled = {f"f{at}": "int" for at in range(50)} | {f"default_f{at}": 1 for at in range(50)}
    newer = AvroFormat(record("R", lines=array(record("Line", count="int", **filled))))
    older = AvroFormat(record("R", lines=array(record("Line", count="int"))))
    read = newer.resolving(older.text).decode
    assert read(older.encode({"lines": [{"count": 2}] * 900}))["lines"][899]["f49"] == 1
    wider = AvroFormat(
        record("R", lines=array(record("Line", count="int", **filled)), note="string", default_note="")
    )
    lines = [{f"f{at}": at for at in range(50)} | {"count": 1}] * 300
    assert wider.resolving(newer.text).decode(newer.encode({"lines": lines}))["lines"] == lines, (
        "it lacks no field"
    )
    payload = older.encode({"lines": [{"count": 2}] * 60_000})
    soon(read, payload)
    with pytest.raises(DecodeError, match="values"):
        read(payload)


def test_a_message_of_too_many_values_is_refused() -> None:
    """Nested, repeated, in maps; a text as long is read."""
    form = ProtobufFormat(
        'syntax = "proto3"; message Order { string t = 1; repeated Order o = 2; map<int32, Order> m = 3;'
        " repeated sint32 n = 4; }"
    )
    for sound in ({"t": "x" * (LONG - 9)}, {"n": [-1] * 100_000}, {"o": [{}] * 8_000}):
        assert form.decode(form.encode(sound))
    held: dict[str, Any] = {"o": [{}] * 100}
    for large in ({"n": [-1] * 160_000}, {"o": [{}] * 20_000}, {"m": {at: {} for at in range(20_000)}},
                  {"o": [held] * 200}):  # fmt: skip
        payload = form.encode(large)
        soon(form.decode, payload)
        with pytest.raises(DecodeError, match="values"):
            form.decode(payload)


@pytest.mark.parametrize("item", [
    LOGICAL[0], {"type": "array", "items": "int"}, {"type": "map", "values": "int"}, ["null", "string"],
    record("I", a="boolean", b="null", c="null"), record("I", a=LOGICAL[1], b="null", c="null"), "boolean",
    record("I", a=LOGICAL[0], b=LOGICAL[1]), record("I", a=array(array("int"))),
    record("I", a=record("J", a=record("K", a="boolean"))), record("I", a="boolean", b="boolean"),
    ["null", LOGICAL[1]],
    {"type": "map", "values": {"type": "fixed", "name": "D", "size": 1, "logicalType": "decimal", "precision": 2}},
    array({"type": "map", "values": "null"}), array(LOGICAL[1]),
])  # fmt: skip
def test_the_most_values_of_the_fewest_bytes_are_soon_decoded(item: Any) -> None:
    """What costs most per byte: an array of it, as long as there are bytes."""
    for unit in (b"\0", b"\2\1"):
        measured(array(item), zigzag(LONG // len(unit) - 9, 63) + unit * (LONG // len(unit)))


def test_readers_of_the_fuzzed_sale_agree_with_its_writer() -> None:
    """The largest seed is read back whole."""
    order, group, value = TARGETS["avro-rich"].read(TARGETS["avro-rich"].seeds[0])
    assert (SALES.encode(order), group, value) == (TARGETS["avro-rich"].seeds[0], "Tea", 4.5)


def test_a_schema_of_json_that_says_nothing_of_objects_still_reads_them() -> None:
    form = JsonFormat({"properties": {"orderId": {"default": "x"}, "product": {}, "price": {}}})
    assert form.reader(Contract())(b'{"product":"Tea","price":1.5}')[1:] == ("Tea", 1.5)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is for Linux only")
def test_atheris_finds_nothing_within_seconds() -> None:
    """Guided by what the bytes reach, all decoders in one process; ten minutes for each of them in `make long`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "any", "--seconds", "6", "--seed", str(os.getpid())],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    runs = int(done.stdout.split()[1].replace(",", ""))
    assert runs > 1000, done.stdout
