"""Avro: the fast path and the reference agree, byte for byte, on good and on corrupt records."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.errors import DecodeError, SettingsError
from kafka_orders.formats.avro import AvroFormat, order_format

FORMAT = order_format()
WIDE = AvroFormat({"type": "record", "name": "W", "fields": [
    {"name": "a", "type": "string"}, {"name": "b", "type": "string"},
    {"name": "x", "type": "double"}, {"name": "y", "type": "float"},
]})  # fmt: skip

orders = st.fixed_dictionaries(
    {"orderId": st.text(max_size=80), "product": st.text(max_size=80), "price": st.floats(width=32)}
)


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(
        one[key] == two[key] or (math.isnan(one[key]) and math.isnan(two[key])) for key in one
    )


def outcome(decode, payload):
    try:
        return {key: str(value) for key, value in decode(payload).items()}
    except DecodeError:
        return "refused"


@given(orders)
def test_an_order_survives_the_trip(order) -> None:
    """Long and non-ASCII strings, NaN and infinities included."""
    payload = FORMAT.encode(order)
    assert same(FORMAT.decode(payload), order)
    assert same(FORMAT.decode_any(payload), order)


@given(orders, st.integers(0, 300), st.binary(min_size=1, max_size=3))
def test_fast_and_reference_agree_on_corrupt_bytes(order, at, garbage) -> None:
    """Both refuse, or both read the same."""
    payload = FORMAT.encode(order)
    for broken in (payload[:at], payload[:at] + garbage + payload[at + len(garbage) :], payload + garbage):
        assert outcome(FORMAT.decode, broken) == outcome(FORMAT.decode_any, broken)


@given(st.binary(max_size=40))
def test_fast_and_reference_agree_on_noise(payload) -> None:
    """Any bytes at all."""
    assert outcome(FORMAT.decode, payload) == outcome(FORMAT.decode_any, payload)


@given(st.text(max_size=70), st.text(max_size=70), st.floats(), st.floats(width=32))
def test_other_flat_schemas_are_decoded_too(a, b, x, y) -> None:
    """Several numbers after the strings."""
    payload = WIDE.encode({"a": a, "b": b, "x": x, "y": y})
    assert outcome(WIDE.decode, payload) == outcome(WIDE.decode_any, payload)


@pytest.mark.parametrize("payload", [b"", FORMAT.encode({"orderId": "a", "product": "b", "price": 1}) + b"\0"])
def test_what_is_no_record_is_a_decode_error(payload) -> None:
    """Zero length, and bytes after the record."""
    with pytest.raises(DecodeError):
        FORMAT.decode(payload)


def test_what_does_not_fit_the_schema_is_not_encoded() -> None:
    """A missing field is the caller's error."""
    with pytest.raises(ValueError, match="does not fit"):
        FORMAT.encode({"orderId": "a"})


@pytest.mark.parametrize("schema", ["{", '"nonsense"', {"type": "record"}])
def test_a_broken_schema_is_a_settings_error(schema) -> None:
    """Exit 2, not a traceback."""
    with pytest.raises(SettingsError):
        AvroFormat(schema)
