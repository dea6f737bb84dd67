"""Floors of speed: thread CPU against a yardstick timed beside it, so that a slower machine moves both.

A limit is what was measured here (2026-11-26, Python 3.11, medians of ten runs of this file) and a fifth: a
regression of 20 % is red. The least of several short timings is compared, since interruptions only add.
"""

import gc
import io
import time
from collections.abc import Callable
from itertools import islice

import fastavro

from kafka_orders.domain.order import Contract
from kafka_orders.domain.policy import RetryPolicy
from kafka_orders.domain.records import Progress, Slot
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
from tests.unit.values import message

FORMAT = order_format()
ORDERS = list(islice(random_orders(7), 2_000))
PAYLOADS = [FORMAT.encode_any(one) for one in ORDERS]
ROUNDS = 25
SLOT = Slot("orders", 0)
LIMITS = {"read": 0.33, "encode": 0.29, "loop": 0.47, "failure": 6.6, "state": 0.045}


def yardstick() -> None:
    """The reference decoder over all payloads, as a loop of its user would have it."""
    for payload in PAYLOADS:
        fastavro.schemaless_reader(io.BytesIO(payload), FORMAT._schema, None)


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
    assert ratio(lambda: [read(payload) for payload in PAYLOADS]) < LIMITS["read"]


def test_encoding_stays_fast() -> None:
    """What the producer does for each order."""
    assert ratio(lambda: [FORMAT.encode(one) for one in ORDERS]) < LIMITS["encode"]


def test_the_batch_loop_stays_fast() -> None:
    """Decode, handle and gather polls of 200."""
    work, taken = handling(lambda order: None), polls()
    assert ratio(lambda: gathered(work, taken)) < LIMITS["loop"]


def test_failures_stay_cheap() -> None:
    """An order that fails, up to the record that waits for its retry."""

    def fail(order: dict) -> None:
        raise ConnectionError("no stock")

    work, taken = handling(fail), polls()
    router = Router("group", RetryPolicy(), "orders_retry", "orders_dlq", "orders_averages", 8, 6)
    state = State("group", {SLOT: Progress("group", 0)}, {SLOT: {}})

    def failing() -> None:
        batch = gathered(work, taken)
        assert sum(1 for _ in router.records(batch, state.after(batch))) == len(ORDERS) + 1

    assert ratio(failing) < LIMITS["failure"]


def test_a_batch_becomes_state_quickly() -> None:
    """The part of a transaction that every good order pays for: its value summed exactly."""
    batch = gathered(handling(lambda order: None), polls())
    state = State("group", {SLOT: Progress("group", 0)}, {SLOT: {}})
    assert ratio(lambda: state.after(batch)) < LIMITS["state"]


def test_a_slower_way_is_noticed() -> None:
    """Reading in two steps, as it was before the reader was compiled, is over the limit."""
    apart = Contract().reader(FORMAT.decode)
    assert ratio(lambda: [apart(payload) for payload in PAYLOADS]) > LIMITS["read"]
