"""What a change of the order's schema breaks: written by one schema, read by the other, in each format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from kafka_orders.domain.errors import DecodeError, InvalidOrderError
from kafka_orders.domain.order import Contract, Read
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.base import Kind
from kafka_orders.formats.choice import contract_format, make_format

_ORDER = {"orderId": "order-1", "product": "Tea", "price": 4.5}
#: What readers are asked for: the rows of a table.
DIRECTIONS = ("new consumers, old orders", "old consumers, new orders")
#: The columns. Avro's readers know the writer's schema only where a registry tells it.
WAYS = ("avro", "avro, framed", "json", "protobuf")


_contract = cache(contract_format)  # protoc takes its time


class Change(NamedTuple):
    """One change of the schema: in the text of each format what stands in the place of what.

    A format has no text where it knows no such change. ``order`` and ``group_by`` are those of the new schema.
    """

    name: str
    texts: Mapping[Kind, tuple[str, str]]
    order: Mapping[str, Any] = _ORDER
    group_by: str = "product"

    def text(self, kind: Kind) -> str:
        """Return the new schema."""
        before, after = self.texts[kind]
        return _contract(kind).text.replace(before, after)


_PRICE = '{"name": "price", "type": "float"}'
_USD = {**_ORDER, "currency": "USD"}
CHANGES = (
    Change("a field added, with a default", {
        "avro": (_PRICE, _PRICE + ', {"name": "currency", "type": "string", "default": "EUR"}'),
        "json": ('"price": {', '"currency": {"type": "string", "default": "EUR"}, "price": {'),
        "protobuf": ("price = 3;", "price = 3; optional string currency = 4;"),
    }, _USD),
    Change("a field added, without a default", {
        "avro": (_PRICE, _PRICE + ', {"name": "currency", "type": "string"}'),
        "json": ('"required": [', '"required": ["currency", '),
        "protobuf": ("price = 3;", "price = 3; string currency = 4;"),
    }, _USD),
    Change("price: float becomes double", {
        "avro": ('"float"', '"double"'), "protobuf": ("float price", "double price"),
    }),
    Change("price: a number becomes text", {
        "avro": ('"float"', '"string"'), "json": ('"price": {"type": "number"', '"price": {"type": "string"'),
        "protobuf": ("float price", "string price"),
    }, {**_ORDER, "price": "4.5"}),
    Change("product is called item", {
        "avro": ('"name": "product"', '"name": "item", "aliases": ["product"]'), "json": ('"product"', '"item"'),
        "protobuf": ("string product", "string item"),
    }, {"orderId": "order-1", "item": "Tea", "price": 4.5}, "item"),
    Change("orderId stands behind product", {
        "avro": ('{"name": "orderId", "type": "string"}, {"name": "product", "type": "string"}',
                 '{"name": "product", "type": "string"}, {"name": "orderId", "type": "string"}'),
        "json": ('"orderId", "product"', '"product", "orderId"'),
        "protobuf": ("  optional string orderId = 1;\n  optional string product = 2;\n",
                     "  optional string product = 2;\n  optional string orderId = 1;\n"),
    }),
    Change("orderId and product swap their numbers", {
        "protobuf": ("  optional string orderId = 1;\n  optional string product = 2;\n",
                     "  optional string orderId = 2;\n  optional string product = 1;\n"),
    }),
)  # fmt: skip


def outcomes(change: Change) -> dict[str, dict[str, str]]:
    """Return what readers make of orders across a change: by direction and way; "-" where there is no such change.

    ``read``, or the stage that refuses the order, or ``COUNTED WRONG``: with another product or price.
    """
    found: dict[str, dict[str, str]] = {direction: dict.fromkeys(WAYS, "-") for direction in DIRECTIONS}
    for kind in change.texts:
        old, new = _contract(kind), make_format(kind, change.text(kind))
        contract = Contract(group_by=change.group_by)
        both = ((new, contract, old, _ORDER), (old, Contract(), new, change.order))
        for direction, (reader, wanted, writer, order) in zip(DIRECTIONS, both, strict=True):
            payload = writer.encode(order)
            found[direction][kind] = _outcome(reader.reader(wanted), payload)
            if isinstance(reader, AvroFormat):
                resolved = reader.resolving(writer.text).reader(wanted)
                found[direction]["avro, framed"] = _outcome(resolved, payload)
    return found


def _outcome(read: Read, payload: bytes) -> str:
    try:
        _, group, value = read(payload)
    except DecodeError:
        return "decode"
    except InvalidOrderError:
        return "validate"
    return "read" if (group, value) == ("Tea", 4.5) else "COUNTED WRONG"
