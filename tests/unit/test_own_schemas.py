"""Anyone's own schema in each format: nested fields, decimal prices, nulls; and one contract in three formats."""

from __future__ import annotations

import json
import math
import time
from decimal import Decimal
from pathlib import Path

import pytest
from google.protobuf.internal.encoder import _VarintBytes
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.app import App
from kafka_orders.domain.averages import tally
from kafka_orders.domain.errors import DecodeError, InvalidOrderError, SettingsError
from kafka_orders.domain.order import Contract, field_of, placed
from kafka_orders.formats.base import KINDS, Kind, parts_of
from kafka_orders.formats.choice import contract_format, make_format, open_format
from kafka_orders.testing import outcomes

FORMATS = {kind: contract_format(kind) for kind in KINDS}
READS = {kind: one.reader(Contract()) for kind, one in FORMATS.items()}

SALES: dict[Kind, str] = {
    "avro": json.dumps({"type": "record", "name": "Sale", "fields": [
        {"name": "ref", "type": "string"},
        {"name": "shop", "type": {"type": "record", "name": "Shop", "fields": [
            {"name": "city", "type": "string"}]}},
        {"name": "total", "type": ["null", {"type": "record", "name": "Total", "fields": [
            {"name": "amount", "type":
                {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}}]}]},
    ]}),
    "json": json.dumps({"type": "object", "properties": {
        "ref": {"type": "string"},
        "shop": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "total": {"type": ["object", "null"], "properties": {"amount": {"type": "number", "multipleOf": 0.01}}},
    }, "required": ["ref", "shop"]}),
    "protobuf": """
        syntax = "proto3"; package shop;
        message Amount { string value = 1; }
        message Shop { optional string city = 1; }
        message Total { optional double amount = 1; }
        message Sale { optional string ref = 1; Shop shop = 2; Total total = 3; }
    """,
}  # fmt: skip
SALE = {"ref": "1", "shop": {"city": "Bern"}, "total": {"amount": Decimal("49.99")}}


def sales(kind: Kind, tmp_path: Path) -> App:
    file = tmp_path / {"avro": "sale.avsc", "json": "sale.json", "protobuf": "sale.proto#Sale"}[kind]
    Path(str(file).partition("#")[0]).write_text(SALES[kind])
    named = {"schema": str(file), "value_field": "total.amount", "group_by": "shop.city", "id_field": "ref"}
    return App(defaults=named)


def plain(kind: Kind, amount: Decimal | None) -> dict:
    value = amount if kind == "avro" or amount is None else float(amount)
    return {**SALE, "total": None if amount is None else {"amount": value}}


@pytest.mark.parametrize("kind", KINDS)
def test_fields_inside_are_counted_and_grouped_by(kind: Kind, tmp_path: Path) -> None:
    """By dotted paths; a null on the way is invalid, and says where."""
    app = sales(kind, tmp_path)
    job = app.job(app.settings(apart=True))
    form = job.codec.form(b"", [])
    read = job.codec.reads(job.contract).plain
    order, group, value = read(form.encode(plain(kind, Decimal("49.99"))))
    assert (group, value) == ("Bern", 49.99)
    assert field_of(order, "shop.city") == "Bern"
    (without,) = outcomes(app, [form.encode(plain(kind, None))])
    assert (without.kind, without.stage, without.error) == ("dead", "validate", "field total.amount is missing")


def test_a_decimal_price_may_be_null_and_may_be_text(tmp_path: Path) -> None:
    """Null is counted nowhere; a text of format decimal is a number."""
    schema = {"type": "object", "properties": {
        "orderId": {"type": "string"}, "product": {"type": "string"},
        "price": {"type": ["string", "null"], "format": "decimal"}}}  # fmt: skip
    form = make_format("json", schema)
    app = App(schema=json.dumps(schema))
    assert form.decode(b'{"price":"49.99"}')["price"] == Decimal("49.99")
    known = {"orderId": "1", "product": "Tea"}
    dear = b'{"orderId":"1","product":"Tea","price":"dear"}'
    told = outcomes(app, [{**known, "price": "49.99"}, {**known, "price": None}, dear])
    assert [(one.kind, one.stage) for one in told] == [
        ("processed", ""),
        ("dead", "validate"),
        ("dead", "validate"),
    ]


DECIMAL_TEXT = {"type": "string", "format": "decimal"}
TOTAL = {"type": "object", "properties": {"amount": DECIMAL_TEXT}}


@pytest.mark.parametrize(
    "total",
    [TOTAL, {"$ref": "#/$defs/a~1b%20c"}, {"anyOf": [{"type": "null"}, {"allOf": [{"$ref": "#/$defs/a~1b%20c"}]}]},
     {"type": "object", "properties": {"amount": {"$ref": "#/$defs/text"}}}],
    ids=["inside", "by reference", "one of some", "the text by reference"],
)  # fmt: skip
def test_decimal_text_inside_of_records(total: dict) -> None:
    """Wherever the schema says it, and only there; null and what is missing are left alone."""
    schema = {"properties": {"total": total, "other": {"type": ["object", "null"]}},
              "$defs": {"a/b c": TOTAL, "text": DECIMAL_TEXT}}  # fmt: skip
    form = make_format("json", schema)
    assert set(form.fields) == {"total", "total.amount", "other"}
    assert form.decode(b'{"total":{"amount":"0.10"}}') == {"total": {"amount": Decimal("0.10")}}
    for same in (b'{"other":{"amount":"0.10"}}', b'{"total":{}}'):
        assert form.decode(same) == json.loads(same)
    with pytest.raises(InvalidOrderError, match=r"total\.amount is not a decimal number: 'dear'"):
        form.decode(b'{"total":{"amount":"dear"}}')
    assert form.decode(form.encode({"total": {"amount": Decimal("1.50")}}))["total"]["amount"] == Decimal("1.50")


def test_a_json_schema_without_end_is_known_as_far_as_it_matters() -> None:
    """One that refers to itself, and one that says everything of everything: in no time."""
    tree = {"properties": {"price": DECIMAL_TEXT, "left": {"$ref": "#"}, "right": {"$ref": "#"}}}
    assert "left.right.price" in make_format("json", tree).fields
    many = {f"p{number}": {"$ref": "#/$defs/all"} for number in range(2_000)}
    hostile = {"properties": many, "$defs": {"all": {"anyOf": [{"properties": many}] * 2_000}}}
    hostile["$defs"]["all"]["anyOf"][1:] = [{"$ref": "#/$defs/all"}] * 2_000
    began = time.process_time()
    assert len(make_format("json", hostile).fields) <= 1_000
    assert time.process_time() - began < 2


def test_a_record_is_no_value() -> None:
    with pytest.raises(SettingsError, match=r"value_field = 'total' is a record; name one of total\.amount"):
        Contract.of(make_format("avro", SALES["avro"]).fields, "", "total", "shop.city")


@pytest.mark.parametrize("message", ["google.type.Money", "google.type.Decimal", "confluent.type.Decimal"])
def test_protobuf_has_decimals_by_convention(tmp_path: Path, message: str) -> None:
    """Google's and Confluent's own messages are one number, both ways."""
    package, _, name = message.rpartition(".")
    fields = {
        "google.type.Money": "string currency_code = 1; int64 units = 2; int32 nanos = 3;",
        "google.type.Decimal": "string value = 1;",
        "confluent.type.Decimal": "bytes value = 1; uint32 precision = 2; int32 scale = 3;",
    }[message]
    (tmp_path / "number.proto").write_text(f'syntax = "proto3"; package {package}; message {name} {{ {fields} }}')
    main = tmp_path / "order.proto"
    main.write_text(
        'syntax = "proto3"; import "number.proto"; message Order {'
        f" string orderId = 1; string product = 2; {message} price = 3; }}"
    )
    form = open_format(str(main))
    order = {"orderId": "1", "product": "Tea", "price": Decimal("-49.99")}
    assert form.decode(form.encode(order)) == order
    assert "price.value" not in form.fields


@given(st.lists(st.decimals(0, 10**9, places=2), min_size=1, max_size=300), st.randoms())
def test_decimal_sums_are_those_of_decimal_arithmetic(prices, random) -> None:
    """To the last digit, whatever the order and the grouping; a double's sum is not."""
    shuffled = list(map(float, prices))
    random.shuffle(shuffled)
    half = len(shuffled) // 2
    merged = tally(shuffled[:half]).merge(tally(shuffled[half:]))
    assert merged.decimal(2) == sum(prices)


def test_a_tenth_and_two_are_three_tenths() -> None:
    """What everybody knows of doubles is not so here."""
    assert tally([0.1, 0.2]).total != 0.3
    assert float(tally([0.1, 0.2]).decimal(1)) == 0.3


def test_scales_are_the_schemas() -> None:
    """Avro's decimals, nullable ones too; JSON's by multipleOf; none elsewhere."""
    assert make_format("avro", SALES["avro"]).fields["total.amount"] == 2
    assert make_format("json", SALES["json"]).fields["total.amount"] == 2
    assert set(FORMATS["avro"].fields.values()) == {None}


texts = st.text(max_size=20)
numbers = st.one_of(st.floats(width=32), st.floats(), st.integers(-(10**6), 10**6), st.none(), st.just("5"))
orders = st.fixed_dictionaries(
    {}, optional={"orderId": st.one_of(texts, st.integers(0, 9)), "product": texts, "price": numbers}
)


def verdict(kind: Kind, order: dict):
    """Return the order as it is counted; None where anything on the way refuses it."""
    try:
        _, group, value = READS[kind](FORMATS[kind].encode(order))
    except (ValueError, DecodeError, InvalidOrderError):
        return None
    return group, float(value)


@given(orders)
def test_the_three_accept_and_reject_the_same_orders(order: dict) -> None:
    """One contract: what one refuses all refuse, and counts are alike but for the digits of a float."""
    if isinstance(order.get("price"), str):
        return  # fastavro writes "5" as a number; what reads has no say in it
    if isinstance(order.get("price"), float) and -1e-45 < order["price"] < 0:
        return  # a float of 32 bits holds it as zero, and JSON's text as less
    found = {kind: verdict(kind, order) for kind in KINDS}
    assert len({one is None for one in found.values()}) == 1, found
    if found["avro"] is not None:
        assert len({one[0] for one in found.values()}) == 1
        assert all(math.isclose(one[1], order["price"], rel_tol=1e-6, abs_tol=1e-37) for one in found.values())


@given(st.floats(0, 1e6, width=32), texts, st.text(min_size=1, max_size=20))
def test_an_order_is_the_same_in_all_formats(price: float, product: str, name: str) -> None:
    """Field by field."""
    order = {"orderId": name, "product": product, "price": price}
    assert all(one.decode(one.encode(order)) == order for one in FORMATS.values())


def test_a_wrong_schema_says_what_is_wrong(tmp_path: Path) -> None:
    """The kind by its ending and by what it holds; a message that is not there; two of one kind."""
    for name, text, said in (
        ("a.proto", "message {", r"a\.proto': the Protobuf schema cannot be used: .*:1"),
        ("b.proto#Nope", 'syntax = "proto3"; message A { int32 a = 1; }', "no message Nope; there: A"),
        ("c.json", '{"$schema": "x", "properties": {"a": {"type": "strin"}}}', "cannot be used"),
        (
            "d.json",
            '{"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/a"}}}',
            "another document",
        ),
        ("e.json", '{"properties": {}}', "names no properties"),
        ("h.json", "{", r"h\.json' is not JSON: .*\.json\) or a \.proto file"),
        ("README.md", "# Orders", r"README\.md' is not JSON"),
        (
            "f.avsc",
            '{"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "A"]}]}',
            "contains itself",
        ),
    ):
        (tmp_path / name.partition("#")[0]).write_text(text)
        with pytest.raises(SettingsError, match=said):
            open_format(str(tmp_path / name))
    (tmp_path / "g.avsc").write_text(SALES["avro"])
    with pytest.raises(SettingsError, match="is a schema for avro, and format = 'json'"):
        open_format(str(tmp_path / "g.avsc"), "json")


def test_a_field_inside_can_be_set() -> None:
    """And what stands beside it stays."""
    assert placed({"a": {"b": 1, "c": 2}, "d": 3}, "a.b", 5) == {"a": {"b": 5, "c": 2}, "d": 3}
    assert placed({"a.b": 1}, "a.b", 5) == {"a.b": 5}
    assert placed({}, "a.b", 5) == {"a": {"b": 5}}


def nested_message(levels: int) -> bytes:
    payload = b""
    for _ in range(levels):
        payload = b"\x12" + _VarintBytes(len(payload)) + payload
    return payload


def test_schemas_that_contain_themselves_end_by_depth() -> None:
    """As docs/howto/formats.md says; Avro's are refused (tests/unit/test_stub_registry.py)."""
    plain = {"type": "object", "properties": {"a": {"type": "string"}, "next": {"$ref": "#"}}}
    json_form = make_format("json", json.dumps(plain))
    assert json_form.decode(b'{"next":' * 1022 + b"{}" + b"}" * 1022)
    with pytest.raises(DecodeError, match="depth"):
        json_form.decode(b'{"next":' * 1024 + b"{}" + b"}" * 1024)
    proto = make_format("protobuf", 'syntax = "proto3"; message M { optional string a = 1; optional M next = 2; }')
    assert proto.decode(nested_message(100))
    with pytest.raises(DecodeError, match="not a message"):
        proto.decode(nested_message(101))


def test_googles_types_are_found_where_they_are_installed() -> None:
    """And go to a registry as any import does; what comes with every compiler does not."""
    text = (
        'syntax = "proto3"; import "google/type/datetime.proto"; import "google/protobuf/timestamp.proto"; '
        "message M { google.type.DateTime at = 1; google.protobuf.Timestamp since = 2; }"
    )
    *imports, own = parts_of(make_format("protobuf", text))
    assert [(one.name, one.needs) for one in imports] == [("google/type/datetime.proto", ())]
    assert "message DateTime" in imports[0].text
    assert (own.text, own.needs) == (text, ("google/type/datetime.proto",))
