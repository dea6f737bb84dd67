"""The ways in which one order can stand in a record: each format, raw or in a schema registry's frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.order import Contract, Read
from kafka_orders.formats.base import Encode, Format
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.framing import Form, head_of

#: An id as a registry gives them; its bytes are four, whatever it is.
_SCHEMA_ID = 1


@dataclass(frozen=True, slots=True)
class Way:
    """One way: ``orders`` are the samples as its format takes them."""

    name: str
    form: Format
    contract: Contract
    encode: Encode
    read: Read
    headers: Headers
    orders: Sequence[Mapping[str, Any]]

    @property
    def head_bytes(self) -> int:
        """Bytes that tell the format and the schema: of the headers, or of the frame before the value."""
        framed = len(self.encode(self.orders[0])) - len(self.form.encode(self.orders[0]))
        return framed + sum(len(name.encode()) + len(value or b"") for name, value in self.headers)


def ways(
    formats: Iterable[Format], orders: Sequence[Mapping[str, Any]], contract: Callable[[Format], Contract]
) -> list[Way]:
    """Return all ways of these formats, raw ones first.

    Raises:
        SettingsError: an order is not of one of the schemas, or does not fulfil the contract.
    """
    raw, framed = [], []
    for form in formats:
        held, made = contract(form), _fitting(form, orders)
        told = Codec(form).writes("")
        raw.append(Way(form.kind, form, held, told.encode, form.reader(held), told.headers, made))
        behind = Form.raw(form).framed(head_of(form, _SCHEMA_ID))
        framed.append(Way(f"{form.kind}, framed", form, held, behind.encode, behind.reader(held), [], made))
    for way in raw:
        _check(way)
    return raw + framed


def _fitting(form: Format, orders: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the orders with decimal numbers in place of floats, where the schema takes no floats."""
    try:
        form.encode(orders[0])
    except ValueError:
        exact = [_exact(order) for order in orders]
        try:
            form.encode(exact[0])
        except ValueError:
            return orders  # and it will be said of the first
        return exact
    return orders


def _exact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _exact(one) for name, one in value.items()}
    return Decimal(str(value)) if isinstance(value, float) else value


def _check(way: Way) -> None:
    for number, order in enumerate(way.orders, 1):
        try:
            way.read(way.encode(order))
        except ValueError as error:
            raise SettingsError(f"order {number} of the sample, as {way.name}: {error}") from error
