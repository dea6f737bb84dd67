"""Floors of speed: thread CPU against a yardstick timed beside it, so that a slower machine moves both.

A limit is what was measured here (2026-11-26, Python 3.11, medians of seven runs) and a fifth: a regression
of 20 % is red. The least of several short timings is compared, since interruptions only add; and where a neighbour
on this processor disturbs all of them, the comparison is made again.
"""

import gc
import struct
import time
from collections.abc import Callable
from itertools import islice

import pytest

from kafka_orders.domain.bulk import Journal
from kafka_orders.domain.order import Contract
from kafka_orders.domain.policy import RetryPolicy
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.shards import Shards
from kafka_orders.formats.avro import order_format
from kafka_orders.log.message import Message
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.desk import Desk
from kafka_orders.pipeline.handlers import Results
from kafka_orders.pipeline.handling import Handling
from kafka_orders.pipeline.produce import random_orders
from kafka_orders.pipeline.routing import Router
from kafka_orders.pipeline.state import State
from tests.fuzz.targets import shelved_reads
from tests.unit.values import message

pytestmark = pytest.mark.timed

FORMAT = order_format()
ORDERS = list(islice(random_orders(7), 2_000))
PAYLOADS = [FORMAT.encode_any(one) for one in ORDERS]
ROUNDS = 25
SLOT = Slot("orders", 0)
LIMITS = {"read": 1.86, "framed": 2.67, "encode": 1.55, "loop": 2.65, "failure": 37.0, "state": 0.265}


#: All these orders are laid out alike.
UNPACK = struct.Struct("<B16sB5sf").unpack


def yardstick() -> list[dict]:
    """The least that Python can do: orders of a known layout, nothing checked.

    Code of the kind that is measured, so that a busy neighbour slows both down alike (fastavro's C it does not).
    """
    orders = []
    for payload in PAYLOADS:
        _, order_id, _, product, price = UNPACK(payload)
        orders.append({"orderId": order_id.decode(), "product": product.decode(), "price": price})
    return orders


def ratio(measured: Callable[[], object]) -> float:
    """Return the least thread CPU of ``measured`` over the least of the yardstick, timed in turn."""
    least = {measured: float("inf"), yardstick: float("inf")}
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for one in tuple(least):
                began = time.thread_time_ns()
                one()
                least[one] = min(least[one], time.thread_time_ns() - began)
    finally:
        gc.enable()
    return least[measured] / least[yardstick]


def is_within(limit: float, measured: Callable[[], object], seconds: float = 20.0) -> bool:
    """Say whether a comparison within ``seconds`` is within the limit."""
    deadline = time.monotonic() + seconds
    while ratio(measured) >= limit:
        if time.monotonic() >= deadline:
            return False
    return True


def handling(handler: Callable[[dict], None]) -> Handling:
    desk = Desk(RetryPolicy(), source_is_retry=False)
    return Handling(FORMAT.reader(Contract()), handler, desk, Results())


def polls(step: int = 200) -> list[list[Message]]:
    records = [message(payload, offset=at) for at, payload in enumerate(PAYLOADS)]
    return [records[at : at + step] for at in range(0, len(records), step)]


def gathered(work: Handling, taken: list[list[Message]]) -> Batch:
    batch, alarm = Batch(), Alarm()
    for messages in taken:
        work.handle(messages, batch, alarm)
    return batch


def test_decoding_stays_fast() -> None:
    """Bytes to a validated order, group and value."""
    read = FORMAT.reader(Contract())
    assert is_within(LIMITS["read"], lambda: [read(payload) for payload in PAYLOADS])


def test_reading_frames_stays_fast() -> None:
    """The same in the frame of a schema registry, which was asked for its schema once."""
    read = shelved_reads("avro", ("avro", FORMAT.text)).plain
    payloads = [bytes(5) + payload for payload in PAYLOADS]
    assert is_within(LIMITS["framed"], lambda: [read(payload) for payload in payloads])


def test_encoding_stays_fast() -> None:
    """What the producer does for each order."""
    assert is_within(LIMITS["encode"], lambda: [FORMAT.encode(one) for one in ORDERS])


def test_the_batch_loop_stays_fast() -> None:
    """Decode, handle and gather polls of 200."""
    work, taken = handling(lambda order: None), polls()
    assert is_within(LIMITS["loop"], lambda: gathered(work, taken))


def test_failures_stay_cheap() -> None:
    """An order that fails, up to the record that waits for its retry."""

    def fail(order: dict) -> None:
        raise ConnectionError("no stock")

    work, taken = handling(fail), polls()
    router = Router("group", RetryPolicy(), "orders_retry", "orders_dlq", "orders_averages", 8, 6)
    state = State("group", {SLOT: Progress("group", 0)}, {SLOT: Shards()}, {SLOT: Journal()})

    def failing() -> None:
        batch = gathered(work, taken)
        assert sum(1 for _ in router.records(batch, state.after(batch))) == len(ORDERS) + 1

    assert is_within(LIMITS["failure"], failing)


def test_a_batch_becomes_state_quickly() -> None:
    """The part of a transaction that every good order pays for: its value summed exactly."""
    batch = gathered(handling(lambda order: None), polls())
    state = State("group", {SLOT: Progress("group", 0)}, {SLOT: Shards()}, {SLOT: Journal()})
    assert is_within(LIMITS["state"], lambda: state.after(batch))


def test_a_slower_way_is_noticed() -> None:
    """Reading in two steps, as it was before the reader was compiled, is over the limit."""
    apart = Contract().reader(FORMAT.decode)
    assert not is_within(LIMITS["read"], lambda: [apart(payload) for payload in PAYLOADS], 2.0)
