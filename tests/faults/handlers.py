"""Handlers for `--handler tests.faults.handlers:…`: they fail, and tell who was counted.

What they return goes to the output topic in the order's own transaction: a counted order is seen by its identity.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

from kafka_orders import Meta

#: Sleep so long with one of about so many orders: `0.01/50`.
_SLEEP, _, _EVERY = os.environ.get("KAFKA_ORDERS_TEST_SLEEP", "0/1").partition("/")
_SECONDS, _ONE_IN = float(_SLEEP), int(_EVERY)


def identity(order: dict[str, Any], meta: Meta) -> bytes:
    """Say who was counted, in which attempt, and when by this process's clock."""
    origin = meta.origin
    held = dict(meta.headers)
    replay = int(held["x-replay-count"] or b"") if "x-replay-of" in held else 0
    told = (origin.topic, origin.partition, origin.offset, order["orderId"], meta.attempt, time.time(), replay)
    return json.dumps(told).encode()


def flaky(order: dict[str, Any], meta: Meta) -> bytes:
    """Fail temporarily for most of Item3, permanently for some of Item5, as chance has it."""
    if _SECONDS and random.random() * _ONE_IN < 1:
        time.sleep(_SECONDS)
    if order["product"] == "Item3" and random.random() < 0.7:
        raise ConnectionError("the warehouse does not answer")
    if order["product"] == "Item5" and random.random() < 0.05:
        raise ValueError(f"order {order['orderId']} makes no sense")
    return identity(order, meta)


def stuck(order: dict[str, Any], meta: Meta) -> bytes:
    """Be slower than the group is patient, with the first order that finds the file of that name."""
    flag = os.environ["KAFKA_ORDERS_TEST_STUCK"]
    try:
        Path(flag).rename(flag + ".taken")
    except FileNotFoundError:
        return flaky(order, meta)
    time.sleep(float(os.environ["KAFKA_ORDERS_TEST_STUCK_SECONDS"]))
    return identity(order, meta)
