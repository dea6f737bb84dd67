"""Which change breaks whom: each verdict is compared with what readers really do."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import fastavro
import jsonschema_rs
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse as avro_parse
from google.protobuf.message_factory import GetMessageClass
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kafka_orders.domain.errors import SettingsError
from kafka_orders.formats.base import Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.evolution import Source, changes
from kafka_orders.formats.protobuf import message_in
from kafka_orders.formats.protoc import files_of


def verdict(kind: Kind, old: str, new: str, needed=()) -> tuple[bool, bool]:
    found = changes(kind, Source(old), Source(new), needed)
    return not any(one.new_reads_old for one in found), not any(one.old_reads_new for one in found)


# Avro: against fastavro, which reads, and against Apache's own checker.

_PRIMITIVES = ["int", "long", "float", "double", "string", "bytes", "boolean", "null"]
_DEFAULTS = {
    "int": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "string": "x",
    "bytes": "x",
    "boolean": True,
    "null": None,
}


def avro_types(depth: int = 2) -> st.SearchStrategy[Any]:
    simple = st.sampled_from(_PRIMITIVES)
    enum = st.lists(st.sampled_from("ABC"), min_size=1, max_size=3, unique=True).map(
        lambda symbols: {"type": "enum", "name": "E", "symbols": symbols})  # fmt: skip
    fixed = st.sampled_from([2, 3]).map(lambda size: {"type": "fixed", "name": "F", "size": size})
    plain = st.one_of(simple, simple, enum, fixed)
    nullable = st.sampled_from(_PRIMITIVES[:-1]).map(lambda one: ["null", one])
    if not depth:
        return plain
    inner = avro_types(0)
    return st.one_of(
        plain, nullable, inner.filter(lambda one: one != "null").map(lambda one: {"type": "array", "items": one}),
        inner.map(lambda one: {"type": "map", "values": one}),
    )  # fmt: skip


@st.composite
def avro_records(draw: st.DrawFn) -> dict[str, Any]:
    fields, named = [], set()
    for name in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)):
        kind = draw(avro_types())
        text = json.dumps(kind)
        if '"name": "E"' in text or '"name": "F"' in text:  # a name is defined once
            assume(not named & ({"E"} if '"name": "E"' in text else {"F"}))
            named |= {"E"} if '"name": "E"' in text else {"F"}
        field: dict[str, Any] = {"name": name, "type": kind}
        if isinstance(kind, str) and draw(st.booleans()):
            field["default"] = _DEFAULTS[kind]
        if draw(st.integers(0, 5)) == 0:
            field["aliases"] = [draw(st.sampled_from("abcd"))]
        fields.append(field)
    return {"type": "record", "name": "R", "fields": fields}


def value_of(kind: Any, data: st.DataObject) -> Any:
    """Return a value of a type; each branch of a union and each symbol has its turn."""
    if isinstance(kind, list):
        return value_of(data.draw(st.sampled_from(kind)), data)
    if isinstance(kind, dict):
        match kind["type"]:
            case "enum":
                return data.draw(st.sampled_from(kind["symbols"]))
            case "fixed":
                return b"x" * kind["size"]
            case "array":
                return [value_of(kind["items"], data)]
            case "map":
                return {"k": value_of(kind["values"], data)}
    return {**_DEFAULTS, "bytes": b"x"}[kind]


def written_and_read(writer: dict[str, Any], reader: dict[str, Any], data: st.DataObject) -> bool:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(writer), {
        one["name"]: value_of(one["type"], data) for one in writer["fields"]})  # fmt: skip
    try:
        fastavro.schemaless_reader(
            io.BytesIO(out.getvalue()), fastavro.parse_schema(writer), fastavro.parse_schema(reader)
        )
    except Exception:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(avro_records(), avro_records(), st.data())
def test_what_avro_can_read_by_our_verdict_is_read(old, new, data) -> None:
    """By fastavro: a schema that we let pass never fails; and Apache's checker says the same of all pairs."""
    for one in (old, new):
        names = [field["name"] for field in one["fields"]] + [
            a for f in one["fields"] for a in f.get("aliases", ())
        ]
        assume(len(names) == len(set(names)))
    # Where both a field's name and its alias are there, the specification does not say which one is meant.
    for reader, writer in ((old, new), (new, old)):
        there = {field["name"] for field in writer["fields"]}
        assume(
            not any(field["name"] in there and there & set(field.get("aliases", ())) for field in reader["fields"])
        )
    backward, forward = verdict("avro", json.dumps(old), json.dumps(new))
    for ours, writer, reader in ((backward, old, new), (forward, new, old)):
        if ours:
            assert written_and_read(writer, reader, data), (writer, reader)
        checked = ReaderWriterCompatibilityChecker().get_compatibility(
            avro_parse(json.dumps(reader)), avro_parse(json.dumps(writer))
        )
        assert ours == (checked.compatibility is SchemaCompatibilityType.compatible), (
            writer,
            reader,
            checked.messages,
        )


# JSON: against the validator.


def json_kinds() -> st.SearchStrategy[dict[str, Any]]:
    bound = st.integers(-2, 2)
    return st.one_of(
        st.fixed_dictionaries({"type": st.sampled_from(["integer", "number"])},
                              optional={"minimum": bound, "maximum": bound, "exclusiveMinimum": bound}),
        st.fixed_dictionaries({"type": st.just("string")},
                              optional={"minLength": st.integers(0, 2), "maxLength": st.integers(1, 3)}),
        st.sampled_from([["string", "null"], ["integer", "null"], "boolean"]).map(lambda one: {"type": one}),
        st.lists(st.sampled_from(["a", "b", 1, 2]), min_size=1, unique=True).map(lambda one: {"enum": one}),
        st.sampled_from(["integer", "number"]).map(lambda one: {"type": "array", "items": {"type": one}}),
        st.just({}),
    )  # fmt: skip


@st.composite
def json_schemas(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    made: dict[str, Any] = {
        "type": "object",
        "properties": {name: draw(json_kinds()) for name in names},
        "required": draw(st.lists(st.sampled_from("abcd"), unique=True)),
    }
    if draw(st.booleans()):
        made["additionalProperties"] = False
    return made


_VALUES = [None, True, -3, -2, -1, 0, 1, 2, 3, 0.5, 1.5, "", "a", "b", "abc", "abcd", [], [1], [1.5]]


@settings(max_examples=300, deadline=None)
@given(json_schemas(), json_schemas(), st.data())
def test_what_json_can_read_by_our_verdict_is_valid(old, new, data) -> None:
    """No order of the old schema is refused by a new one that we let pass, whatever its values."""
    backward, forward = verdict("json", json.dumps(old), json.dumps(new))
    for ours, writer, reader in ((backward, old, new), (forward, new, old)):
        writes, reads = jsonschema_rs.validator_for(writer), jsonschema_rs.validator_for(reader)
        for _ in range(5):
            names = sorted({*writer["properties"], *writer["required"]})
            order = {name: data.draw(st.sampled_from(_VALUES)) for name in names
                     if name in writer["required"] or data.draw(st.booleans())}  # fmt: skip
            if ours and writes.is_valid(order):
                assert reads.is_valid(order), (order, writer, reader)


# Protobuf: against the library.

_SCALARS = ["int32", "int64", "uint32", "uint64", "sint32", "sint64", "bool", "string", "bytes", "float", "double",
            "fixed32", "fixed64"]  # fmt: skip
_SAMPLES: dict[str, Any] = {"bool": True, "string": "x", "bytes": b"x", "float": 1.5, "double": 1.5}


@pytest.mark.parametrize("old", _SCALARS)
@pytest.mark.parametrize("new", _SCALARS)
def test_a_protobuf_type_that_we_let_pass_reads_the_same(old: str, new: str) -> None:
    """All pairs: what is read equals what was written; where we refuse, some value is not."""
    made = [message_of(kind) for kind in (old, new)]
    if old == new:
        return
    backward, forward = verdict("protobuf", *(_proto(kind) for kind in (old, new)))
    for ours, writer, reader, kind in ((backward, *made, old), (forward, *made[::-1], new)):
        values = [_SAMPLES.get(kind, 1), *_LARGEST.get(kind, ())]
        assert ours == all(_alike(writer, reader, value) for value in values), (old, new, ours)


_LARGEST: dict[str, list[Any]] = {
    "int32": [-1, 2**31 - 1], "int64": [-1, 2**63 - 1], "uint32": [2**32 - 1], "uint64": [2**64 - 1],
    "sint32": [-1, 2**31 - 1], "sint64": [-1, 2**63 - 1], "fixed32": [2**32 - 1], "fixed64": [2**64 - 1],
    "bytes": [b"\xff"], "string": ["\u00e9"],
}  # fmt: skip


def _proto(kind: str) -> str:
    return f'syntax = "proto3"; package p; message M {{ optional {kind} a = 1; optional string other = 2; }}'


_MADE: dict[str, Any] = {}


def message_of(kind: str) -> Any:
    if kind not in _MADE:
        _MADE[kind] = GetMessageClass(message_in(files_of(_proto(kind))))
    return _MADE[kind]


def _alike(writer: Any, reader: Any, value: Any) -> bool:
    try:
        read = reader.FromString(writer(a=value).SerializeToString())
        found = read.a
    except Exception:
        return False
    if isinstance(value, bytes) or isinstance(found, bytes):
        return (value if isinstance(value, bytes) else str(value).encode()) == (
            found if isinstance(found, bytes) else str(found).encode()
        )
    return bool(found == value) and read.HasField("a")


# The sentences, as people read them.

OTHER, REFUSED = "Order and Sale are not the same record", "with a registry, a message of another name is refused"
ORDER = {kind: contract_format(kind).text for kind in ("avro", "json", "protobuf")}


def edited(kind: Kind, old: str, new: str) -> str:
    assert old in ORDER[kind], ORDER[kind]
    return ORDER[kind].replace(old, new)


@pytest.mark.parametrize(("kind", "old", "new", "told"), [
    ("avro", '"float"}', '"float"}, {"name": "note", "type": "string", "default": ""}',
     [("note", "added, default ''", "", "")]),
    ("avro", '"float"}', '"float"}, {"name": "note", "type": "string"}',
     [("note", "added, without a default", "old orders do not have it, and there is no default", "")]),
    ("avro", '"float"', '"double"', [("price", "float becomes double", "", "double cannot be read as float")]),
    ("avro", '"name": "product"', '"name": "item", "aliases": ["product"]',
     [("item", "product is now called item, with its old name as an alias", "",
       "they need product, which has no default")]),
    ("avro", '"name": "Order"', '"name": "Sale"',
     [("the record", "Order is now called Sale", OTHER, OTHER)]),
    ("json", '"exclusiveMaximum": 3.4028235677973366e38', '"maximum": 100',
     [("price", "exclusiveMaximum 3.4028235677973366e+38 becomes maximum 100", "more than 100 is refused", "")]),
    ("json", '["orderId", "product", "price"]', '["orderId", "price"]',
     [("product", "no longer required", "", "they require it")]),
    ("json", '{"type": "string"}', '{"type": "string", "pattern": "^Item"}',
     [("product", "anything becomes pattern ^Item", "this cannot be judged: pattern differ", "")]),
    ("protobuf", "price = 3", "price = 4",
     [("price", "number 3 becomes 4", "its number was 3: what was written there is not found",
       "its number was 3: what was written there is not found")]),
    ("protobuf", "optional string product = 2;", "optional string item = 2;",
     [("item", "number 2 was called product", "product is what orders are counted by", "")]),
    ("protobuf", "package com.example.orders", "package com.example.shop",
     [("the message", "com.example.orders.Order is now called com.example.shop.Order",
       REFUSED, REFUSED)]),
    ("protobuf", "string product = 2;", "string note = 2; optional string product = 4;",
     [("note", "number 2 was that of product", "", "they take it for product"),
      ("product", "number 2 becomes 4", "its number was 2: what was written there is not found",
       "its number was 2: what was written there is not found")]),
    ("json", '"required": [', '"required": ["currency", ',
     [("currency", "added, required", "old orders do not have it", "")]),
    ("protobuf", "optional float price = 3;", "", [("price", "number 3 removed", "", "they need it")]),
])  # fmt: skip
def test_changes_are_told_in_words(kind: Kind, old: str, new: str, told: list[tuple[str, ...]]) -> None:
    """Where, what, and why whom."""
    found = changes(kind, Source(ORDER[kind]), Source(edited(kind, old, new)), ("product", "price"))
    assert [(one.where, one.what, one.new_reads_old, one.old_reads_new) for one in found] == told


@pytest.mark.parametrize("kind", ["avro", "json", "protobuf"])
def test_the_same_schema_changes_nothing(kind: Kind) -> None:
    """And what is no schema is said."""
    assert changes(kind, Source(ORDER[kind]), Source(ORDER[kind])) == []
    with pytest.raises(SettingsError):
        changes(kind, Source(ORDER[kind]), Source("{"))


SHOP = (
    'syntax = "proto3"; package p; import "sum.proto"; message Other { int32 a = 1; }'
    " message Sale { optional p.Sum total = 1; }"
)
SUM = 'syntax = "proto3"; package p; message Sum { optional %s amount = 1; }'


@pytest.mark.parametrize("way", ["folder", "imports", "coded", "coded import", "coded importer"])
def test_the_message_meant_is_compared_with_what_it_imports(tmp_path: Path, way: str) -> None:
    """From files, from a registry with references, and in base64 as Confluent's Python client registers it."""
    sums = [SUM % kind for kind in ("double", "string")]
    for number, text in enumerate(sums):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "sum.proto").write_text(text)
    old, new = (
        Source(SHOP, folder=tmp_path / str(number), record="p.Sale")
        if way == "folder" or number
        else Source(SHOP, {"sum.proto": text})
        for number, text in enumerate(sums)
    )
    if "coded" in way:
        files = files_of(old.text, old.imports).file
        imported, own = (b64encode(one.SerializeToString()).decode() for one in files)
        imports = old.imports if way == "coded importer" else {"sum.proto": imported}
        old = Source(SHOP if way == "coded import" else own, imports)
    told = [(one.where, one.what) for one in changes("protobuf", old, new)]
    assert told == [("total.amount", "double becomes string")]


def test_an_avro_schema_of_several_subjects_is_compared_as_a_whole() -> None:
    """As a registry keeps them: types by name, their texts apart."""
    shop = {"type": "record", "name": "Sale", "fields": [{"name": "line", "type": "Line"}]}
    line = {"type": "record", "name": "Line", "fields": [{"name": "count", "type": "int"}]}
    wider = json.dumps(line).replace("int", "long")
    old, new = (Source(json.dumps(shop), {"Line": text}) for text in (json.dumps(line), wider))
    assert [(one.where, one.what) for one in changes("avro", old, new)] == [("line.count", "int becomes long")]


def proto(
    price: str = "optional float price = 3;", product: str = "string", more: str = "", syntax: str = "3"
) -> str:
    return (
        f'syntax = "proto{syntax}"; package google.type; message Order {{ optional string orderId = 1;'
        f" optional {product} product = 2; {price} }} message Decimal {{ optional string value = 1; }}"
        f" message Money {{ optional int64 units = 2; optional int32 nanos = 3; }} {more}"
    )


def of_properties(**more: Any) -> str:
    described = {"orderId": {}, "product": {"type": "string"}, "price": {"type": "number"}, **more.pop("also", {})}
    return json.dumps({"type": "object", "required": ["product"], "properties": described, **more})


ONE, ENUM = "enum E { TEA = 0; }", "enum E { %s = 0; %s = 1; }"


@pytest.mark.parametrize(("kind", "old", "new", "reads"), [
    ("protobuf", proto(product="E", more=ENUM % ("TEA", "COFFEE")),
     proto(product="E", more=ENUM % ("COFFEE", "TEA")), (False, False)),
    ("protobuf", proto(product="E", more=ONE), proto(product="E", more=ENUM % ("TEA", "COFFEE")),
     (True, False)),
    ("protobuf", proto("Decimal price = 3;"), proto("Money price = 3;"), (False, False)),
    ("protobuf", proto(), proto("float price = 3;"), (False, False)),
    ("protobuf", *(proto(f"optional float price = 3 [default = {at}];", syntax="2") for at in (1, 2)),
     (False, False)),
    ("protobuf", proto(), proto(product="bytes"), (False, False)),
    ("protobuf", proto(product="E", more=ONE), proto(product="int32"), (False, False)),
    ("protobuf", proto("optional float price = 3; optional float net = 5;"), proto("optional float net = 3;"),
     (False, False)),
    ("json", *(of_properties(also={"price": {"$ref": "#/$defs/P"}}, **{"$defs": {"P": {"type": kind}}})
               for kind in ("number", "string")), (False, False)),
    ("json", of_properties(additionalProperties={"type": "string"}),
     of_properties(also={"x": {"type": "number"}}), (True, False)),
    ("json", of_properties(also={"x": {"type": "number"}}),
     of_properties(additionalProperties={"type": "string"}), (False, True)),
    ("json", *(of_properties(also={"price": {"type": "number", "default": at}}) for at in (1, 2)), (False, False)),
])  # fmt: skip
def test_what_would_be_counted_otherwise_is_no_harmless_change(kind, old, new, reads) -> None:
    """Each was read, and counted for another product or price, or was dead, after `schema check` had said yes."""
    assert verdict(kind, old, new, ("price", "product")) == reads
