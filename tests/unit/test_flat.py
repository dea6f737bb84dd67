"""The compiled decoder: taken for flat records, equal to the reference to the last byte."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.errors import DecodeError
from kafka_orders.formats import flat
from kafka_orders.formats.avro import AvroFormat, order_format
from kafka_orders.formats.flat import compile_flat

ORDER = order_format()


def schema(*kinds: object) -> dict:
    return {"type": "record", "name": "R", "fields": [{"name": f"f{n}", "type": k} for n, k in enumerate(kinds)]}


def never(payload: bytes):
    raise AssertionError(f"the reference was asked for {payload!r}")


def outcome(decode, payload: bytes):
    """What a decoder makes of bytes: the bits of each value (NaN is NaN), or its refusal."""
    try:
        return [
            (name, struct.pack("<d", value) if isinstance(value, float) else value)
            for name, value in decode(payload).items()
        ]
    except DecodeError:
        return "refused"


long_texts = st.integers(60, 70).map("ä".__mul__) | st.integers(60, 130).map("x".__mul__) | st.text(max_size=90)


@pytest.mark.parametrize(
    "kinds", [("string", "string", "float"), ("string", "string", "double", "float", "double")]
)
def test_two_strings_then_numbers_take_the_fast_path(kinds) -> None:
    """The reference is not asked for a record of short strings."""
    decode = compile_flat(schema(*kinds), never)
    assert decode is not None
    fmt, wanted = (
        AvroFormat(schema(*kinds)),
        {"f0": "é" * 31, "f1": "", **{f"f{n}": 0.5 for n in range(2, len(kinds))}},
    )
    assert list(decode(fmt.encode(wanted)).items()) == list(wanted.items())


@pytest.mark.parametrize(
    "other",
    [
        schema("string", "float"), schema("string", "string"), schema("string", "string", "string", "float"),
        schema("float", "string", "string"), schema("string", "string", "float", "string"), schema(),
        schema("string", "string", "long"), schema("string", "string", ["null", "float"]),
        schema("string", "string", {"type": "float"}), {"type": "enum", "name": "E", "symbols": ["A"]}, ["string"],
    ],
)  # fmt: skip
def test_other_schemas_are_left_to_the_reference(other) -> None:
    """Rather slow than wrong."""
    assert compile_flat(other, never) is None


@given(long_texts, long_texts, st.floats(width=32))
def test_fast_and_reference_agree_on_every_order(order_id, product, price) -> None:
    """To the bit of a NaN, on both sides of 64 bytes, and the values are those that were written."""
    payload = ORDER.encode({"orderId": order_id, "product": product, "price": price})
    decoded = ORDER.decode(payload)
    assert outcome(ORDER.decode, payload) == outcome(ORDER.decode_any, payload)
    assert (decoded["orderId"], decoded["product"]) == (order_id, product)
    assert decoded["price"] == price or math.isnan(price)


@given(long_texts, long_texts, st.floats(width=32), st.data())
def test_fast_and_reference_agree_when_one_byte_is_another(order_id, product, price, data) -> None:
    """Both refuse, or both give the same record; the message of a refusal is the reference's."""
    payload = bytearray(ORDER.encode({"orderId": order_id, "product": product, "price": price}))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(ORDER.decode, bytes(payload)) == outcome(ORDER.decode_any, bytes(payload))


@given(st.binary(min_size=2, max_size=2), st.binary(max_size=160))
def test_fast_and_reference_agree_on_any_lengths(lengths, rest) -> None:
    """Negative, overlong and continued lengths included."""
    payload = lengths[:1] + rest[: lengths[0] >> 1] + lengths[1:] + rest
    assert outcome(ORDER.decode, payload) == outcome(ORDER.decode_any, payload)


@pytest.mark.parametrize(
    "change", [lambda sound: sound[:-1], lambda sound: sound + b"\0", lambda sound: sound * 2]
)
@pytest.mark.parametrize("text", ["a", "ä" * 40])
def test_a_byte_more_or_less_is_refused(change, text) -> None:
    """On the fast path and beside it."""
    payload = change(ORDER.encode({"orderId": text, "product": "b", "price": 1.0}))
    for decode in (ORDER.decode, ORDER.decode_any):
        with pytest.raises(DecodeError):
            decode(payload)


def test_text_that_is_not_utf8_is_refused() -> None:
    """By both, in each of the strings."""
    for payload in (b"\x02\xff\x02b\0\0\0\0", b"\x02a\x02\xff\0\0\0\0"):
        for decode in (ORDER.decode, ORDER.decode_any):
            with pytest.raises(DecodeError):
                decode(payload)


@pytest.mark.parametrize("kinds", [("string", "string", "float"), ("string", "string", "double", "float")])
def test_more_layouts_than_are_kept_are_made_anew(monkeypatch, kinds) -> None:
    """Also where records of one length are split in different ways by turns; the reference is never asked."""
    monkeypatch.setattr(flat, "_MOST_LAYOUTS", 2)
    decode, fmt = compile_flat(schema(*kinds), never), AvroFormat(schema(*kinds))
    assert decode is not None
    numbers = {f"f{at}": 0.5 for at in range(2, len(kinds))}
    records = [{"f0": "x" * one, "f1": "y" * two, **numbers} for one in range(6) for two in range(6)]
    assert [decode(fmt.encode(record)) for record in records * 2] == records * 2


def test_a_schema_may_be_text_bytes_or_a_mapping() -> None:
    """And a record may have fields of any kind."""
    text = '{"type":"record","name":"R","fields":[{"name":"a","type":["null","long"]}]}'
    for given_schema in (text, text.encode(), schema("long")):
        fmt = AvroFormat(given_schema)
        name = "f0" if isinstance(given_schema, dict) else "a"
        assert fmt.decode(fmt.encode({name: 5})) == {name: 5}


def test_a_length_of_two_bytes_is_not_taken_for_one() -> None:
    """The last character of this id is what a careless decoder would read as the product's length."""
    wanted = {"orderId": "x" * 63 + "\x04", "product": "b", "price": 1.0}
    assert ORDER.decode(ORDER.encode(wanted)) == wanted
