"""Edits: expressions that can do nothing else, and what they make of an order."""

import json
import re
import struct
import time
from contextlib import suppress
from decimal import Decimal

import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_orders.deadletters.dialects import ALL
from kafka_orders.deadletters.edit import Edit, editable, edited, preview
from kafka_orders.deadletters.expressions import Assignment, applied, parse
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.payloads import flat, readable
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.order import Contract, field_of
from kafka_orders.domain.standing import NOTHING_DONE
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.json_schema import JsonFormat
from kafka_orders.formats.protobuf import ProtobufFormat
from tests.unit.values import CODEC, FORMAT, order

ORDER = {"orderId": "17", "product": "Tea", "price": -2.5}
FIELDS = tuple(ORDER)


@pytest.mark.parametrize(
    ("told", "field", "value"),
    [
        ("price=12.5", "price", 12.5),
        ("price = abs(price)", "price", 2.5),
        ("price=round(price * 2) / 4 + 1", "price", -0.25),
        ("price=0 if price < 0 else price", "price", 0),
        ("product=upper(product)", "product", "TEA"),
        ("product=product + ' black'", "product", "Tea black"),
        ("product=replace(product, 'T', 'S')", "product", "Sea"),
        ("product=Coffee", "product", "Coffee"),
        ("product=Green Tea", "product", "Green Tea"),
        ('product="Tea=1"', "product", "Tea=1"),
        ("orderId=str(len(product))", "orderId", "3"),
    ],
)
def test_what_an_expression_gives(told: str, field: str, value: object) -> None:
    """Numbers, texts, fields of the order; a word that is no field stands for itself."""
    assert applied([parse(told, FIELDS)], ORDER) == {**ORDER, field: value}


def test_rounding_is_done_at_once_whatever_the_digits() -> None:
    """Rounding to thirty million digits takes a minute."""
    started = time.perf_counter()
    assert applied([Assignment("price", "round(12345678901234567890, -30000000)")], ORDER)["price"] == 0
    assert applied([Assignment("price", "round(7.126, 2) - 7 % 4")], ORDER)["price"] == 4.13
    assert time.perf_counter() - started < 1


def test_each_expression_sees_the_order_as_it_was() -> None:
    """So their order does not matter; a whole number stays one."""
    both = [Assignment("orderId", "product"), Assignment("product", "orderId")]
    assert applied(both, ORDER) == {**ORDER, "orderId": "Tea", "product": "17"}
    assert repr(applied([Assignment("n", "n * 1.5")], {"n": 2})["n"]) == "3"


@pytest.mark.parametrize(
    "hostile",
    [
        "price.__class__", "().__class__.__bases__[0].__subclasses__()", "__import__('os').system('true')",
        "open('/etc/passwd')", "exec('1')", "2 ** 99999999", "1 << 99999", "'a' * 999999999", "price / 0",
        "[x for x in range(10 ** 9)]", "(lambda: 1)()", "missing + 1", "product.upper()", "f'{price.__class__}'",
        "'%200000000d' % 1", "b'%200000000d' % 1",
    ],
)  # fmt: skip
def test_hostile_expressions_are_refused_at_once(hostile: str) -> None:
    """No attribute, no power, no import, no memory."""
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r"price=") as caught:
        applied([Assignment("price", hostile)], ORDER)
    assert time.perf_counter() - started < 1
    assert str(caught.value).startswith("price=")


@settings(deadline=1000)
@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    """Nothing else is raised."""
    with suppress(ValueError):
        applied([Assignment("product", text)], ORDER)


@pytest.mark.parametrize("told", ["price", "=1", "price=", "colour=1"])
def test_what_is_no_assignment_is_said(told: str) -> None:
    """Before anything is read."""
    with pytest.raises(SettingsError, match=r"--set"):
        parse(told, FIELDS)


def letter(payload: bytes | None) -> Letter:
    return Letter(Message(topic="d", partition=0, offset=3, key=b"k", value=payload), NOTHING_DONE, ALL)


def edit(*sets: str, whole=None) -> Edit:
    assignments = [parse(one, FIELDS) for one in sets]
    return Edit(CODEC, Contract().validator(), assignments, whole)


def test_what_changes_is_told_by_field_and_by_byte() -> None:
    """The bytes are what is sent."""
    old = order(1, "Tea", 2.0)
    found = edit("price=3.0").changed(letter(old))
    assert found.fields() == ["price: 2.0 -> 3.0"]
    assert FORMAT.decode(found.payload)["price"] == 3.0
    assert f"of {len(old)}: <00> -> <40> ({len(old)} bytes)" in found.bytes()
    assert not edit("price=2.0").changed(letter(old)).is_change
    framed = edit("price=3.0").changed(letter(b"\0\0\0\0\7" + old))
    assert framed.payload == b"\0\0\0\0\7" + found.payload


def test_what_would_die_again_is_refused() -> None:
    """By the schema or by the contract; and what does not decode is edited whole."""
    old = order(1, "Tea", 2.0)
    for sets, said in (("price=product", "schema"), ("price=-1", "price"), ("orderId=''", "orderId")):
        with pytest.raises(ValueError, match=said):
            edit(sets).changed(letter(old))
    with pytest.raises(ValueError, match="edit it alone"):
        edit("price=1").changed(letter(b"\xff\xff"))
    whole = edit(whole={"orderId": "1", "product": "Tea", "price": 4.0}).changed(letter(b"\xff\xff"))
    assert FORMAT.decode(whole.payload)["price"] == 4.0
    assert whole.fields()[0] == "orderId: '<none>' -> '1'"


AMOUNT = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
TOTAL = {"type": "record", "name": "Total", "fields": [{"name": "amount", "type": AMOUNT}]}
MONEY = """syntax = "proto3"; package google.type; message Sale { string id = 1; Total total = 2; }
message Total { Money amount = 1; }
message Money { string currency_code = 1; int64 units = 2; int32 nanos = 3; }"""
SALES = {
    "avro": AvroFormat({"type": "record", "name": "Sale", "fields": [
        {"name": "id", "type": "string"}, {"name": "total", "type": TOTAL}]}),
    "protobuf": ProtobufFormat(MONEY),
    "json": JsonFormat({"type": "object", "properties": {
        "id": {"type": "string"}, "total": {"properties": {"amount": {"type": "string", "format": "decimal"}}}}}),
}  # fmt: skip


def sale_edit(kind: str, *sets: str, whole=None) -> Edit:
    codec = Codec(SALES[kind], {})
    contract = Contract.of(codec.fields, "id", "total.amount", "id")
    return Edit(codec, contract.validator(), [parse(one, codec.fields) for one in sets], whole)


def sale(kind: str, amount: str) -> Letter:
    return letter(SALES[kind].encode({"id": "1", "total": {"amount": amount}}))


@pytest.mark.parametrize("kind", SALES)
@pytest.mark.parametrize(
    ("told", "amount"),
    [
        ("5", "5"), ("5.25", "5.25"), ("'5.25'", "5.25"), ("abs(total.amount)", "7.5"),
        ("round(total.amount * -1.1, 1)", "8.2"), ("max(total.amount, 0.1)", "0.1"),
        ("total.amount % 7 + 7", "6.5"),
        ("round(-total.amount)", "8"), ("int(-total.amount)", "7"),
    ],
)  # fmt: skip
def test_a_decimal_is_repaired_by_an_expression(kind: str, told: str, amount: str) -> None:
    """In every format; beside a float it stays exact."""
    found = sale_edit(kind, f"total.amount={told}").changed(sale(kind, "-7.5"))
    assert field_of(SALES[kind].decode(found.payload), "total.amount") == Decimal(amount)
    (line,) = found.fields()
    assert re.fullmatch(rf"total\.amount: -7\.50* -> {re.escape(amount)}[.0]*", line)


@pytest.mark.parametrize("kind", SALES)
def test_a_decimal_is_repaired_in_an_editor(kind: str) -> None:
    """It stands there as text, and what is left as it was is no change."""
    text = editable(sale(kind, "-7.5"), lambda payload, _: SALES[kind].decode(payload))
    assert re.search(r'amount": "-7\.50*"', text)
    found = sale_edit(kind, whole=edited(text.replace('"-7.5', '"7.5').replace('"1"', '"2"'))).changed(
        sale(kind, "-7.5")
    )
    assert field_of(SALES[kind].decode(found.payload), "total.amount") == Decimal("7.5")
    found = sale_edit(kind, whole=edited(text.replace("-7.5", "7.5"))).changed(sale(kind, "7.5"))
    assert found.fields() == []


@pytest.mark.parametrize("kind", SALES)
@pytest.mark.parametrize("told", ["'dear'", "'1E999999999'", "1E999", "True", "total.amount.real", "total.cents"])
def test_what_is_no_decimal_is_refused_at_once(kind: str, told: str) -> None:
    """Also what would take minutes to write."""
    with pytest.raises(ValueError, match=r"not a decimal number|no field total"):
        sale_edit(kind, f"total.amount={told}").changed(sale(kind, "-7.5"))


def test_a_dotted_path_is_a_field_and_no_attribute() -> None:
    """Of records inside only."""
    inside = {"shop": {"city": "Bern", "zips": [1]}, "product": "Tea", "items": None}
    assert applied([Assignment("product", "shop.city + ' ' + lower(product)")], inside)["product"] == "Bern tea"
    for hostile in (
        "shop.items",
        "shop.keys()",
        "shop.zips.append(2)",
        "shop.city.upper()",
        "items.x",
        "(shop).get",
    ):
        with pytest.raises(ValueError, match=r"an order has no field"):
            applied([Assignment("product", hostile)], inside)
    big = Assignment("price", "int(price)")
    with pytest.raises(ValueError, match="digits"):
        applied([big], {"price": Decimal("1E999999999")})


def json_edit(*sets: str, whole=None) -> Edit:
    price = {"type": "number", "minimum": 0}
    codec = Codec(JsonFormat({"properties": {"id": {"type": "string"}, "price": price}, "required": ["id"]}), {})
    contract = Contract.of(codec.fields, "id", "price", "id")
    return Edit(codec, contract.validator(), [parse(one, codec.fields) for one in sets], whole)


def test_json_that_its_schema_refuses_is_edited_by_expressions() -> None:
    """It can be parsed; the result has to fit. Also behind a frame."""
    broken = b'{"id": "1", "price": -1}'
    found = json_edit("price=abs(price)").changed(letter(broken))
    assert (found.fields(), json.loads(found.payload)) == (["price: -1 -> 1"], {"id": "1", "price": 1})
    framed = json_edit("price=abs(price)").changed(letter(b"\0\0\0\0\7" + broken))
    assert framed.payload == b"\0\0\0\0\7" + found.payload
    with pytest.raises(ValueError, match="less than the minimum"):
        json_edit("price=price - 1").changed(letter(broken))


def test_why_a_payload_does_not_decode_is_the_decoders_word() -> None:
    """Of JSON that is none, too."""
    for made, payload, said in (
        (json_edit("price=1"), b'{"id": ', "does not decode: not JSON: "),
        (edit("price=1"), b"\xff", "does not decode: not a record of the schema: "),
        (edit("price=1"), None, "does not decode: it has none; edit it alone, whole"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            made.changed(letter(payload))


def test_numbers_are_shown_as_they_were_written() -> None:
    """A float of 32 bits by its shortest digits, a double as it is."""
    for price in (16.26, 0.1, 1234.5, 3e-9, 250000.125):
        assert readable(struct.unpack("<f", struct.pack("<f", price))[0]) == price
        assert readable(price) == price
    assert readable({"a": [Decimal("1.50"), None, b"x"]}) == {"a": ["1.50", None, "78"]}
    assert readable(1234567.25) == 1234567.25
    assert dict(flat({"a": {"b": {"c": 1}, "d": {}}, "e": 2})) == {"a.b.c": 1, "a.d": {}, "e": 2}


def test_a_preview_counts_and_shows_some() -> None:
    """And groups the reasons of those that stay."""
    letters = [letter(order(n, "Tea", float(n))) for n in range(6)] + [letter(b"\xff"), letter(None)]
    found = preview(edit("price=max(price, 2)"), letters)
    assert (found.changing, len(found.samples)) == (2, 2)
    assert found.refused["nothing would change"] == 4
    assert found.refused.total() == 6


def test_an_editor_gets_json_and_gives_json() -> None:
    """What is typed is an object, or it is said."""
    assert edited(editable(letter(order(1, "Tea", 2.0)), CODEC.decode))["product"] == "Tea"
    assert editable(letter(b"\xff"), CODEC.decode) == "{}\n"
    for text, said in (("{", "not JSON"), ("[1]", "object")):
        with pytest.raises(ValueError, match=said):
            edited(text)
