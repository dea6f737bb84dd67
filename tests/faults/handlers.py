"""Handlers that fail, for `--handler tests.faults.handlers:…`."""

from __future__ import annotations

import random
from typing import Any


def flaky(order: dict[str, Any]) -> None:
    """Fail temporarily for most of Item3, permanently for some of Item5, as chance has it."""
    if order["product"] == "Item3" and random.random() < 0.7:
        raise ConnectionError("the warehouse does not answer")
    if order["product"] == "Item5" and random.random() < 0.05:
        raise ValueError(f"order {order['orderId']} makes no sense")
