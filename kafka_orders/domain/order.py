"""What an order has to be before it is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka_orders.domain.averages import LARGEST_VALUE
from kafka_orders.domain.errors import InvalidOrderError

Order = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """Which fields of a record are its id, the value to average and the group to average by."""

    id_field: str | None = "orderId"
    value_field: str = "price"
    group_by: str = "product"

    def validate(self, order: Order) -> tuple[str, float]:
        """Return (group, value) of a countable order.

        Raises:
            InvalidOrderError: a field is missing or of the wrong kind; the id is empty; the value
                is NaN, infinite, negative or too large to be summed.
        """
        try:
            value = order[self.value_field]
            group = order[self.group_by]
            # One comparison refuses NaN, the infinities, negatives and what a sum cannot hold.
            if 0.0 <= value < LARGEST_VALUE and (self.id_field is None or order[self.id_field]):
                return group if group.__class__ is str else str(group), value
        except KeyError as error:
            raise InvalidOrderError(f"field {error.args[0]} is missing") from None
        except TypeError:
            raise InvalidOrderError(f"field {self.value_field} is not a number: {value!r:.80}") from None
        raise InvalidOrderError(self._complaint(order, value))

    def _complaint(self, order: Order, value: float) -> str:
        if self.id_field is not None and not order[self.id_field]:
            return f"field {self.id_field} is empty"
        return f"field {self.value_field} is {value!r}: not a finite number that is zero or more"
