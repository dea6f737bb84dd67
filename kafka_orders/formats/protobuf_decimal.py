"""Decimal numbers in Protobuf, which has none: the messages by which Google and Confluent tell them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kafka_orders.domain.errors import InvalidOrderError
from kafka_orders.formats.base import Budget, number_of

#: Messages that are one decimal number each, by their full names; their fields are told in :func:`decimal_of`.
DECIMALS = {"google.type.Decimal", "google.type.Money", "confluent.type.Decimal"}
#: A decimal of more bytes is no price, and a megabyte of digits takes minutes to convert.
MOST_DECIMAL_BYTES = 64
#: As many values does a message cost beside its fields.
MESSAGE_COST = 6


def decimal_of(message: Any, budget: Budget) -> Decimal:
    """Return the number of a message that is one.

    Raises:
        InvalidOrderError: it spells none.
        DecodeError: it is one value too many.
    """
    budget.spend(MESSAGE_COST)
    try:
        if message.ByteSize() > MOST_DECIMAL_BYTES:
            raise InvalidOrderError("a decimal number of more digits than any price has")
        match message.DESCRIPTOR.full_name:
            case "google.type.Decimal":
                return number_of(message.value)
            case "google.type.Money":
                return Decimal(message.units) + Decimal(message.nanos).scaleb(-9)
            case _:
                unscaled = int.from_bytes(message.value, "big", signed=True)
                return Decimal(unscaled).scaleb(-message.scale)
    except (ArithmeticError, ValueError) as error:
        raise InvalidOrderError(f"not a decimal number: {message!s:.80}") from error


def decimal_message(name: str, number: Decimal) -> dict[str, Any]:
    """Return the fields of a message of one of :data:`DECIMALS` that is a number."""
    if name == "google.type.Decimal":
        return {"value": str(number)}
    if name == "google.type.Money":
        return {"units": int(number), "nanos": int((number % 1).scaleb(9))}
    scale = max(0, -int(number.as_tuple().exponent))
    unscaled = int(number.scaleb(scale))
    size = unscaled.bit_length() // 8 + 1
    return {"value": unscaled.to_bytes(size, "big", signed=True), "scale": scale}
