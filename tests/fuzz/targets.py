"""What is fuzzed: each way from bytes to an order, and bytes to begin with."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from kafka_orders.domain.errors import DecodeError, InvalidOrderError, NotFoundError, SettingsError
from kafka_orders.domain.headers import CONTENT_TYPE, SCHEMA_ID
from kafka_orders.domain.order import Contract
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.codec import CONTENT_TYPES, Codec, Reads, ReadTold
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.json_schema import JsonFormat
from kafka_orders.formats.protobuf import ProtobufFormat
from kafka_orders.formats.registry import Registered

#: What bytes that are no order are told by. All else stops a worker, or is taken for a handler's error.
TYPED = (DecodeError, InvalidOrderError)
ORDER = {"orderId": "order-1", "product": "Tea", "price": 4.5}


class Target(NamedTuple):
    """A decoder with its validator, and payloads that it reads."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]

    def warm(self) -> None:
        """Read each seed: the first record of a Protobuf schema waits for protoc, and no other does."""
        for one in self.seeds:
            with suppress(Exception):
                self.read(one)


@contextmanager
def typed() -> Iterator[None]:
    """Let typed errors pass, and no other; nor one that only wraps that the memory or the interpreter gave out."""
    try:
        yield
    except TYPED as error:
        if isinstance(error.__cause__, MemoryError | SystemError):
            raise error.__cause__ from None


def record(name: str, /, **fields: Any) -> dict[str, Any]:
    """Return the Avro schema of a record; ``default_x`` is the default of the field x."""
    kinds = {key: kind for key, kind in fields.items() if not key.startswith("default_")}
    told = {key.removeprefix("default_"): kind for key, kind in fields.items() if key not in kinds}
    return {"type": "record", "name": name, "fields": [
        {"name": key, "type": kind} | ({"default": told[key]} if key in told else {})
        for key, kind in kinds.items()
    ]}  # fmt: skip


def _logical(kind: str | dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    return {**(kind if isinstance(kind, dict) else {"type": kind}), "logicalType": name, **more}


_COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN", "BLUE"]}
_LINE = record("Line", sku="string", count="int", colour=_COLOUR)
SALE = record(
    "Sale", orderId="string", product=["null", "string", "long"],
    price=_logical("bytes", "decimal", precision=9, scale=2),
    tax=_logical({"type": "fixed", "name": "Tax", "size": 4}, "decimal", precision=9, scale=3),
    lines={"type": "array", "items": _LINE}, notes={"type": "map", "values": ["null", "string", "Colour"]},
    grid={"type": "array", "items": {"type": "array", "items": "double"}},
    buyer=["null", record("Buyer", name="string", since=_logical("int", "date"))],
    at=_logical("long", "timestamp-micros"), uuid=_logical("string", "uuid"), raw="bytes", sure="boolean",
)  # fmt: skip
SALES = AvroFormat(SALE)
_SALE = SALES.encode({
    "orderId": "order-1", "product": "Tea", "price": Decimal("4.50"), "tax": Decimal("0.125"),
    "lines": [{"sku": "a", "count": 2, "colour": "GREEN"}] * 3, "notes": {"a": None, "b": "text", "c": "BLUE"},
    "grid": [[1.5], [], [2.5, 3.5]], "buyer": {"name": "Ann", "since": date(2026, 1, 2)},
    "at": datetime(2026, 1, 2, tzinfo=UTC), "uuid": UUID(int=7), "raw": b"\0\xff", "sure": True,
})  # fmt: skip

#: One order over time; in the middle stands what it is read by.
_OLDER = record(
    "Parcel",
    orderId="bytes",
    product="string",
    price="int",
    gone={"type": "array", "items": "string"},
    lines={"type": "array", "items": record("Piece", sku="string")},
)
_PARCEL = record(
    "Parcel", orderId="string", product="string", price="double", note=["null", "string"], default_note=None,
    lines={"type": "array", "items": record("Piece", sku="string", count="long", default_count=1)},
)  # fmt: skip
_NEWER = record(
    "Parcel", added={"type": "map", "values": "int"}, orderId=["string", "bytes"], product="string", price="float",
    note="string", lines={"type": "array", "items": record("Piece", count="int", sku="string", more=SALE)},
)  # fmt: skip
_OLD = {"orderId": b"order-1", "product": "Tea", "price": 4, "gone": ["a", "b"], "lines": [{"sku": "x"}] * 2}
_NEW = {"orderId": "order-1", "product": "Tea", "price": 4.5, "note": "n", "lines": [], "added": {"a": 1}}

_JSON = {
    "type": "object", "properties": {
        "orderId": {"type": "string", "minLength": 1}, "product": {}, "price": {"format": "decimal"},
        "lines": {"type": "array", "items": {"type": "object", "required": ["sku", "count"]}},
        "tags": {"type": "array", "uniqueItems": True}, "text": {"type": "string", "pattern": "^(a+)+$"},
        "inner": {"$ref": "#"}, "either": {"anyOf": [{"type": "number"}, {"$ref": "#"}]}},
}  # fmt: skip
_JSON_ORDER = (
    b'{"orderId":"order-1","product":"Tea","price":"4.50","lines":[{"sku":"a","count":1}],"tags":[1,2.5,"x",null],'
    b'"text":"aaaa","inner":{"price":"1"},"either":-1e3}'
)
#: Without a type, and with a default: any JSON is of it.
_LOOSE = {"properties": {"orderId": {"default": "x"}, "product": {}, "price": {"format": "decimal"}}}

_PROTO = """
syntax = "proto3"; package %s;
message Decimal { %s }
message Money { string currency_code = 1; int64 units = 2; int32 nanos = 3; }
message Order {
  optional string orderId = 1; optional string product = 2; Decimal price = 3; repeated Line lines = 4;
  map<string, Line> by = 5; enum Colour { RED = 0; GREEN = 1; } Colour colour = 6; repeated Colour colours = 7;
  oneof paid { string card = 8; Money cash = 9; Order with = 10; } repeated sint64 many = 11; bytes raw = 12;
  repeated Decimal prices = 13; map<int32, Decimal> rates = 14; map<bool, Colour> flags = 15;
}
message Line { string sku = 1; fixed32 count = 2; double weight = 3; Order of = 4; }
"""
_TEXT, _UNSCALED = "string value = 1;", "bytes value = 1; uint32 precision = 2; int32 scale = 3;"
_OLD_PROTO = """
syntax = "proto2";
message Sale {
  required string orderId = 1; optional string product = 2 [default = "Tea"]; optional float price = 3;
  repeated group Line = 4 { optional string sku = 5; } enum Colour { RED = 1; } optional Colour colour = 6;
  repeated Sale within = 7; extensions 100 to 200;
}
"""
_RICH_ORDER = {
    "orderId": "order-1", "product": "Tea", "price": Decimal("4.50"), "lines": [{"sku": "a", "count": 2}] * 2,
    "colour": "GREEN", "colours": [0, 1, 5], "many": [-1, 2, 3], "raw": b"\0", "cash": {"units": 4, "nanos": 5},
    "by": {"a": {"sku": "x"}}, "flags": {True: 1},
}  # fmt: skip


class Shelf:
    """In a registry's place: what it holds under each id, global ids included."""

    def __init__(self, held: Mapping[int, Registered]) -> None:
        self.held = held

    def by_id(self, schema_id: int, trusted: frozenset[str] | None = None) -> Registered:
        """Return a schema, as a registry would."""
        if schema_id not in self.held:
            raise NotFoundError(f"schema id {schema_id} is not here")
        return self.held[schema_id]

    def by_guid(self, guid: str, subjects: frozenset[str]) -> Registered:
        """Return a schema by its global id: those whose number is small are there."""
        return self.by_id(UUID(guid).int)


def shelved(own: Kind, *held: tuple[Kind, str] | tuple[Kind, str, Mapping[str, str]]) -> ReadTold:
    """Return how values with headers are read where a registry holds schemas, by ids from 0 on."""
    told = shelved_reads(own, *held).told
    assert told is not None
    return told


def shelved_reads(own: Kind, *held: tuple[Kind, str] | tuple[Kind, str, Mapping[str, str]]) -> Reads:
    """Return how all values are read there."""
    schemas = {
        number: Registered(kind, text, frozenset({"t-value"}), dict(*imports))
        for number, (kind, text, *imports) in enumerate(held)
    }
    codec = Codec(contract_format(own), None, (Shelf(schemas), Naming("t")))  # type: ignore[arg-type]
    return codec.reads(Contract())


def coded(**fields: Any) -> str:
    """Return a Protobuf file in base64, as Confluent's Python client registers it."""
    return b64encode(FileDescriptorProto(**fields).SerializeToString()).decode()


#: Schemas that a stranger may have registered. The first three are sound.
_TEXTS = {kind: contract_format(kind).text for kind in KINDS}
HOSTILE: list[tuple[Kind, str] | tuple[Kind, str, Mapping[str, str]]] = [
    *_TEXTS.items(),
    ("avro", json.dumps(_OLDER).replace("Parcel", "Order")),
    ("avro", json.dumps(record("Order", orderId="string", next=["null", "Order"]))),
    ("avro", '"Order"', {"Order": _TEXTS["avro"]}),
    ("avro", '{"type": "record", "name": "Order"}'),
    ("protobuf", _TEXTS["protobuf"] + "message Other {}"),
    ("protobuf", "\ud800"),
    ("protobuf", _TEXTS["protobuf"], {"a": "", "a/b": ""}),
    ("protobuf", _TEXTS["protobuf"], {"\0": ""}),
    ("protobuf", _TEXTS["protobuf"] + 'import "a";', {"a": coded(dependency=["schema.proto"])}),
    ("protobuf", coded(dependency=["a"]), {"a": coded(dependency=["b", "a"], public_dependency=[7]), "b": "?"}),
    ("protobuf", coded(message_type=[{"name": "A", "field": [{"name": "\0", "number": -1, "type_name": "A"}]}])),
]


def _headed(own: Kind) -> Callable[[bytes], object]:
    """Return a reader of a value behind its headers: which there are, and how long the one told there is."""
    told = shelved(own, *HOSTILE)

    def read(payload: bytes) -> object:
        which, size, rest = payload[:1], payload[1:2], payload[2:]
        at = size[0] if size else 0
        names = {b"\0": (SCHEMA_ID,), b"\1": (CONTENT_TYPE,)}.get(which, (CONTENT_TYPE, SCHEMA_ID))
        return told(rest[at:], [(name, rest[:at]) for name in names])

    return read


def by_schema(text: str, payload: bytes) -> None:
    """Read by anyone's schema, as ours and as a writer's; it may be refused, but only as a schema is."""
    try:
        form = AvroFormat(text)
        other = _CONTRACT.resolving(text)
    except SettingsError:
        return
    for one in (form, other):
        with typed():
            one.reader(Contract())(payload)


def _by_schema(payload: bytes) -> None:
    text, _, rest = payload.partition(b"\0")
    by_schema(text.decode(errors="replace"), rest)


def _rich(package: str, decimal: str) -> Target:
    form = ProtobufFormat(_PROTO % (package, decimal), "Order")
    return Target(form.reader(Contract()), (form.encode(_RICH_ORDER), b"\x22\0" * 200, b"\x2a\0" * 200))


def _old_proto() -> Target:
    form = ProtobufFormat(_OLD_PROTO)
    return Target(form.reader(Contract()), (form.encode(ORDER), b"\x0a\1a\x23\x2a\1b\x24\x30\1\x3a\0"))


def _frames() -> Target:
    reads = shelved_reads("avro", *HOSTILE)
    values = [(0, b"", "avro"), (1, b"", "json"), (2, b"\0", "protobuf"), (2, b"\2\0", "protobuf")]
    seeds = [
        b"\0\0\0\0" + bytes([number]) + place + contract_format(kind).encode(ORDER)
        for number, place, kind in values
    ]
    return Target(
        reads.plain,
        (*seeds, *(bytes([0, 0, 0, 0, at, 0]) for at in range(len(HOSTILE) + 1))),
    )


_CONTRACT = contract_format("avro")
assert isinstance(_CONTRACT, AvroFormat)


def made() -> dict[str, Target]:
    """Return all targets, by name."""
    contract = Contract()
    parcel = AvroFormat(_PARCEL)
    older, newer = AvroFormat(_OLDER), AvroFormat(_NEWER)
    headed = [b"\1" + bytes([len(name)]) + name.encode() for name in CONTENT_TYPES.values()]
    headed += [b"\0\5\0\0\0\0\0", b"\0\x11\1" + bytes(16), b"\2\7\0\0\0\0\2\2\0"]
    headed += [b"\0\6\0\0\0\0" + bytes([at, 0]) for at in range(len(HOSTILE) + 1)]
    return {
        **{kind: Target((own := contract_format(kind)).reader(contract), (own.encode(ORDER),)) for kind in KINDS},
        "avro-rich": Target(SALES.reader(contract), (_SALE,)),
        "avro-older": Target(parcel.resolving(older.text).reader(contract), (older.encode(_OLD),)),
        "avro-newer": Target(parcel.resolving(newer.text).reader(contract), (newer.encode(_NEW),)),
        "avro-schema": Target(
            _by_schema,
            tuple(one.text.encode() + b"\0" + held for one, held in ((SALES, _SALE), (older, older.encode(_OLD)))),
        ),
        "json-rich": Target(
            JsonFormat(_JSON).reader(contract), (_JSON_ORDER, b'{"inner":' * 9 + b"{}" + b"}" * 9)
        ),
        "json-loose": Target(
            JsonFormat(_LOOSE).reader(contract), (_JSON_ORDER, b"[]", b"1", b'{"product":1,"price":"sNaN"}')
        ),
        "protobuf-rich": _rich("google.type", _TEXT),
        "protobuf-unscaled": _rich("confluent.type", _UNSCALED),
        "protobuf-2": _old_proto(),
        "frames": _frames(),
        "headers": Target(_headed("json"), tuple(one + _JSON_ORDER for one in headed)),
    }


TARGETS = made()


def _any(targets: list[Target]) -> Target:
    """Return all of them in one: the first byte says which one reads the rest."""

    def read(payload: bytes) -> object:
        return targets[payload[0] % len(targets)].read(payload[1:]) if payload else None

    return Target(read, tuple(bytes([at]) + seed for at, one in enumerate(targets) for seed in one.seeds))


#: For a look at each within seconds.
ANY = _any(list(TARGETS.values()))
EVERY = {**TARGETS, "any": ANY}
