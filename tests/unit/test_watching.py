"""When a partition that stands still is a finding, and when it is none."""

import pytest

from kafka_orders.domain.errors import NoBrokerError
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.log.consumer import ConsumerLostError
from kafka_orders.pipeline.watchdog import Watchdog

ONE, TWO = Slot("orders", 1), Slot("orders", 2)


class Broker:
    """What admin and reader say of the one partition."""

    def __init__(self, stable: int, end: int, readable: bool) -> None:
        self.stable, self.end, self.readable, self.asked = stable, end, readable, 0

    def bounds(self, slots, *, committed_only=False):
        if not list(slots):
            return {}
        self.asked += committed_only
        if self.end < 0:
            raise NoBrokerError("away")
        return {slot: Bounds(0, self.stable if committed_only else self.end) for slot in slots}

    def read(self, ranges):
        return iter(["record"] if self.readable and all(one.end > one.start for one in ranges.values()) else [])


def watchdog(broker: Broker, told: list | None = None) -> Watchdog:
    heard = [] if told is None else told
    return Watchdog(broker, broker, lambda *found: heard.append(found))  # type: ignore[arg-type]


def guarded(broker: Broker, seconds: int, told: list | None = None) -> None:
    dog = watchdog(broker, told)
    for now in range(seconds):
        dog.look(1000.0 + now, {ONE: 5})


def test_each_partition_has_a_clock_of_its_own_and_a_move_starts_it_again() -> None:
    """One moves every 10 s, the other by one record after 59 s: no question is asked before a minute is over."""
    broker = Broker(9, 9, readable=True)
    dog = watchdog(broker)
    for now in range(0, 60, 10):
        dog.look(now, {ONE: 5, TWO: now})
    for now in range(59, 119, 10):
        dog.look(now, {ONE: 6, TWO: now})
    assert broker.asked == 0
    dog.look(119, {ONE: 6, TWO: 200})
    with pytest.raises(ConsumerLostError, match="orders/1"):
        dog.look(124, {ONE: 6, TWO: 205})


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """A handler of 20 s per order, or a broker that was waited for: nothing is even asked."""
    broker = Broker(9, 9, readable=True)
    dog = watchdog(broker)
    for now in (*range(0, 2000, 20), 10_000):
        dog.look(now, {ONE: 5})
    assert broker.asked == 0


def test_what_could_not_have_moved_starts_anew() -> None:
    """Paused by the retry gate, at hand, being started, or taken away for a moment."""
    broker = Broker(9, 9, readable=True)
    dog = watchdog(broker)
    for now in range(0, 59, 2):
        dog.look(now, {ONE: 5})
    dog.look(59, {})
    for now in range(60, 119, 2):
        dog.look(now, {ONE: 5})
    assert broker.asked == 0
    dog.look(120, {ONE: 5})
    with pytest.raises(ConsumerLostError):
        dog.look(125, {ONE: 5})


def test_records_that_do_not_come_cost_the_consumer_its_life() -> None:
    """Named with the partition and both offsets."""
    with pytest.raises(ConsumerLostError, match=r"orders/1 has stood at offset 5 for 60 s.* up to 9"):
        guarded(Broker(9, 9, readable=True), 67)


def test_an_idle_partition_is_asked_for_once_a_minute_and_left_alone() -> None:
    """Also where the marks of transactions, which nobody delivers, lie behind its last record."""
    for broker in (Broker(5, 5, readable=True), Broker(7, 7, readable=False)):
        told: list = []
        guarded(broker, 300, told)
        assert (broker.asked, told) == (4, [])


def test_a_broker_that_does_not_answer_is_asked_once_a_minute() -> None:
    """No finding, and no wait for it in every turn: other partitions may be working."""
    broker = Broker(-1, -1, readable=True)
    guarded(broker, 200)
    assert broker.asked == 3


def test_an_open_transaction_is_told_once_and_nothing_is_rebuilt() -> None:
    """When the last stable offset has stood for a minute, too."""
    told: list = []
    guarded(Broker(5, 8, readable=True), 115, told)
    assert told == []
    guarded(Broker(5, 8, readable=True), 600, told)
    assert told == [(ONE, 5, 8)]


def test_a_record_that_comes_this_moment_is_no_finding() -> None:
    """Found unread once, handled by the next poll: the consumer stays; found again five seconds later: it goes."""
    broker = Broker(6, 6, readable=True)
    dog = watchdog(broker)
    for now in range(0, 66, 6):
        dog.look(now, {ONE: 5})
    dog.look(66, {ONE: 6})
    assert broker.asked == 1
    dog = watchdog(broker)
    with pytest.raises(ConsumerLostError, match="has stood at offset 5"):
        for now in range(70):
            dog.look(now, {ONE: 5})
    assert now == 65
