"""Handlers for the acceptance tests."""

from __future__ import annotations

import sys
import time
from typing import Any


def hangs(_order: dict[str, Any]) -> None:
    """Never return; say so once."""
    sys.stderr.write("hanging\n")
    sys.stderr.flush()
    while True:
        time.sleep(0.1)


def sleeps_at_one(order: dict[str, Any]) -> None:
    """Take longer than the shortest max.poll.interval.ms for one order, each time it comes."""
    if order["price"] == 30.0:
        print("sleeping", flush=True)
        time.sleep(8)


def returns_its_id(order: dict[str, Any]) -> bytes:
    """For `--handler`: the result is the order's id; Item5 is dead, and no order takes less than a millisecond."""
    time.sleep(0.001)
    if order["product"] == "Item5":
        raise ValueError("no Item5")
    return str(order["orderId"]).encode()
