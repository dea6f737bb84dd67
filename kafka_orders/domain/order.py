"""What an order has to be before it is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kafka_orders.domain.averages import LARGEST_VALUE
from kafka_orders.domain.errors import InvalidOrderError, SettingsError
from kafka_orders.domain.headers import Headers

Order = Mapping[str, Any]
#: Bytes to order, group and value; raises InvalidOrderError for an order that cannot be counted, and anything
#: else for bytes that are none.
Read = Callable[[bytes], tuple[Order, str, float]]

#: Bytes and the headers of their record to an order's fields; raises where they are none.
Decode = Callable[[bytes, Headers], Order]

#: The id of an order, where its schema has one and nothing else is said.
DEFAULT_ID = "orderId"


@dataclass(frozen=True, slots=True)
class Contract:
    """Which fields of a record are its id, the value to average and the group to average by."""

    id_field: str | None = DEFAULT_ID
    value_field: str = "price"
    group_by: str = "product"
    #: Digits behind the point, where the schema says that values are decimal numbers.
    scale: int | None = None

    @classmethod
    def of(cls, fields: Mapping[str, int | None], id_field: str, value_field: str, group_by: str) -> Contract:
        """Return the contract for records with these fields; an empty ``id_field`` is orderId, if there is one.

        ``fields`` are names, and their digits behind the point where they are decimal numbers.

        Raises:
            SettingsError: the schema has no such field.
        """
        id_name = id_field or (DEFAULT_ID if DEFAULT_ID in fields else None)
        for setting, name in (("id_field", id_name), ("value_field", value_field), ("group_by", group_by)):
            if name is not None and name not in fields:
                raise SettingsError(
                    f"{setting} = {name!r} is no field of the schema, which has {', '.join(fields)}"
                )
            if inner := [one for one in fields if one.startswith(f"{name}.")]:
                raise SettingsError(f"{setting} = {name!r} is a record; name one of {', '.join(inner)}")
        return cls(id_name, value_field, group_by, fields[value_field])

    def validator(self) -> Callable[[Order], tuple[str, float]]:
        """Return a function from an order to (group, value); it raises InvalidOrderError when a field is
        missing, null or of the wrong kind, the id is empty, or the value is NaN, infinite, negative or too
        large to be summed.

        A closure, because it runs once per order: attribute look-ups would cost it half again as much.
        """
        id_field, value_field, group_by = self.id_field, self.value_field, self.group_by

        def validate(order: Order) -> tuple[str, float]:
            try:
                value, group = order[value_field], order[group_by]
                if value.__class__ is not float:
                    value = _number(value_field, value)
                if group.__class__ is not str or not group.isascii():
                    group = _name(group_by, group)
                # One comparison refuses NaN, the infinities, negatives and what a sum cannot hold.
                if 0.0 <= value < LARGEST_VALUE and (id_field is None or order[id_field]):
                    return group, value
            except KeyError as error:
                raise InvalidOrderError(f"field {error.args[0]} is missing") from None
            except (TypeError, IndexError):
                raise InvalidOrderError(f"not a record with fields: {order!r:.80}") from None
            if complaint := self._complaint(order, value):
                raise InvalidOrderError(complaint)
            return group, value  # the number 0 is an id

        names = [name for name in (id_field, value_field, group_by) if name is not None]
        if any("." in name for name in names):  # in records inside: they are lifted out, and then as ever
            return lambda order: validate(_lifted(order, names))
        return validate

    def reader(self, decode: Callable[[bytes], Order]) -> Read:
        """Return :meth:`validator` behind ``decode``."""
        validate = self.validator()

        def read(payload: bytes) -> tuple[Order, str, float]:
            order = decode(payload)
            return order, *validate(order)

        return read

    def _complaint(self, order: Order, value: float) -> str:
        if self.id_field is not None and order.get(self.id_field) in ("", b"", None):
            return f"field {self.id_field} is empty"
        if 0.0 <= value < LARGEST_VALUE:
            return ""
        return f"field {self.value_field} is {value!r}: not a finite number that is zero or more"


def _number(field: str, value: Any) -> float:
    """Return a number of another kind (an int, an Avro decimal) as the double that is summed."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidOrderError(f"field {field} is not a number: {value!r:.80}")
    try:
        return float(value)
    except OverflowError:
        raise InvalidOrderError(f"field {field} is too large to be summed") from None


def _name(field: str, group: Any) -> str:
    """Return the group as text that a state key can hold."""
    try:
        return str(group).encode().decode()
    except UnicodeEncodeError:
        raise InvalidOrderError(f"field {field} is not Unicode text") from None


def field_of(order: Any, name: str) -> Any:
    """Return a field of an order; that of a record inside by a dotted path, as in ``total.amount``.

    Raises:
        KeyError: it has no such field, or what should hold it is null.
    """
    try:
        if name in order or "." not in name:
            return order[name]
        for part in name.split("."):
            order = order[part]
    except (TypeError, IndexError):
        raise KeyError(name) from None
    return order


def field_text(order: Any, name: str) -> str | None:
    """Return a field of an order as text; None where it has none, or none that is a value."""
    try:
        found = field_of(order, name)
    except KeyError:
        return None
    return None if found is None else str(found)


def _lifted(order: Any, names: list[str]) -> Order:
    found = {}
    for name in names:
        with suppress(KeyError):  # what is missing is said by who needs it
            found[name] = field_of(order, name)
    return found


def placed(order: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return an order with another value of a field, by the names of :func:`field_of`."""
    first, _, rest = (name, "", "") if name in order else name.partition(".")
    return {**order, first: placed(order.get(first) or {}, rest, value) if rest else value}
