"""Orders that are wrong, and bytes that are damaged: where each format notices, if it does."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

from kafka_orders.comparison.ways import Way
from kafka_orders.domain.errors import DecodeError, InvalidOrderError
from kafka_orders.domain.order import Contract, field_of

#: Orders whose every byte is damaged once.
_DAMAGED = 40


class Outcome(NamedTuple):
    """Where it ended: ``write`` (not written), ``decode`` or ``validate`` (a dead letter's stage), ``counted``."""

    stage: str
    message: str = ""


class Noticed(NamedTuple):
    """Of damaged orders: how many were refused, and how many were counted with another group or value; shares."""

    refused: float
    counted_wrong: float


def orders(contract: Contract, order: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what is wrong with an order, and the order."""
    value, group, known = contract.value_field, contract.group_by, contract.id_field
    sound = field_of(order, value)
    yield f"no {value}", _with(order, value)
    yield f"{value} is null", _with(order, value, None)
    yield f"{value} is a word", _with(order, value, "cheap")
    yield f"{value} is -1", _with(order, value, _like(sound, -1.0))
    yield f"{value} is NaN", _with(order, value, _like(sound, float("nan")))
    yield f"{value} is 1e300", _with(order, value, _like(sound, 1e300))
    yield f"no {group}", _with(order, group)
    yield f"{group} is the number 5", _with(order, group, 5)
    if known:
        yield f"{known} is empty", _with(order, known, "")
    yield "a field that the schema does not know", {**order, "colour": "red"}


def _like(value: Any, number: float) -> Any:
    """Return a number as a value of this kind spells it: the number is what is wrong, not its kind."""
    if isinstance(value, Decimal | str):
        return type(value)(str(number))
    return int(number) if isinstance(value, int) and isfinite(number) else number


def _with(order: Mapping[str, Any], path: str, *value: Any) -> Mapping[str, Any]:
    """Return the order with another value of a field, or without it."""
    name, _, rest = path.partition(".")
    if rest and isinstance(order.get(name), Mapping):
        return {**order, name: _with(order[name], rest, *value)}
    left = {key: one for key, one in order.items() if key != name}
    return {**left, name: value[0]} if value else left


def payloads(way: Way, others: Sequence[Way]) -> Iterator[tuple[str, bytes]]:
    """Yield what is wrong with some bytes, and the bytes."""
    whole = way.encode(way.orders[0])
    yield "no bytes", b""
    yield "its last byte is missing", whole[:-1]
    yield "its second half is missing", whole[: len(whole) // 2]
    yield "a byte too many", whole + b"\1"
    for other in others:
        if other.form.kind != way.form.kind:
            yield f"an order in {other.form.kind}, told as {way.form.kind}", other.encode(other.orders[0])


def written(way: Way, order: Mapping[str, Any]) -> Outcome:
    """Return where a wrong order ends that our producer is given."""
    try:
        payload = way.encode(order)
    except ValueError as error:
        return Outcome("write", str(error))
    return read(way, payload)


def read(way: Way, payload: bytes) -> Outcome:
    """Return where wrong bytes end that a consumer is given."""
    try:
        way.read(payload)
    except DecodeError as error:
        return Outcome("decode", str(error))
    except InvalidOrderError as error:
        return Outcome("validate", str(error))
    return Outcome("counted")


def damaged(way: Way, seed: int) -> Noticed:
    """Return how often it is noticed that one byte of an order is another one; each byte has its turn."""
    source = random.Random(seed)  # noqa: S311  no secret
    tries = refused = wrong = 0
    for order in way.orders[:_DAMAGED]:
        whole = way.encode(order)
        right = way.read(whole)[1:]
        for at, byte in enumerate(whole):
            spoilt = whole[:at] + bytes([(byte + source.randrange(1, 256)) % 256]) + whole[at + 1 :]
            tries += 1
            try:
                wrong += way.read(spoilt)[1:] != right
            except (DecodeError, InvalidOrderError):
                refused += 1
    return Noticed(refused / tries, wrong / tries)
