"""The retry gate: never early, in order, partitions paused and resumed."""

from kafka_orders.domain.brokertime import BrokerTime
from kafka_orders.domain.policy import RetryPolicy
from kafka_orders.domain.records import Slot
from kafka_orders.pipeline.gate import Gate, due_ms
from tests.unit.values import message

POLICY = RetryPolicy(delay_ms=1000, jitter=0.0)


class Bench:
    """A gate with a clock of its own: broker time = monotonic time here."""

    def __init__(self) -> None:
        self.now, self.paused = 0.0, set()
        time = BrokerTime()
        time.observe(0, 0.0, fresh=True)
        self.gate = Gate(POLICY, time, self.paused.update, self.paused.difference_update, lambda: self.now)


def waiting(offset, appended_ms, attempt=1, partition=0):
    held = [("retryCount", str(attempt).encode())]
    return message(topic="r", partition=partition, offset=offset, headers=held, timestamp_ms=appended_ms)


def test_due_is_append_time_and_delay() -> None:
    """2^(n-1) times the delay; a record without a count (a replay) is due at once."""
    assert [due_ms(waiting(0, 500, attempt), POLICY) for attempt in range(4)] == [500, 1500, 2500, 4500]


def test_a_handlers_own_wait_takes_the_delays_place() -> None:
    """Shorter or longer than the policy's; a stranger's absurd one is an hour at most."""
    for asked, wait in ((b"200", 200), (b"90000", 90_000), (b"9999999", 3_600_000), (b"x", 1_000), (b"-5", 1_000)):
        held = [("retryCount", b"1"), ("x-retry-after", asked)]
        assert due_ms(message(topic="r", headers=held, timestamp_ms=500), POLICY) == 500 + wait


def test_no_header_of_a_stranger_parks_a_partition() -> None:
    """The longest wait is an hour."""
    hostile = message(
        topic="r", headers=[("retryCount", b"999"), ("x-retry-due", b"999999999999999")], timestamp_ms=0
    )
    assert due_ms(hostile, POLICY) == 3_600_000


def test_a_head_that_is_not_due_pauses_its_partition() -> None:
    """It and all behind it wait; another partition does not."""
    bench = Bench()
    bench.now = 1.2
    admitted = bench.gate.admit([waiting(0, 500), waiting(1, 0), waiting(7, 100, partition=1)])
    assert [(one.partition(), one.offset()) for one in admitted] == [(1, 7)]
    assert bench.paused == {Slot("r", 0)}
    assert abs(bench.gate.next_due_in() - 0.3) < 1e-6


def test_held_records_are_released_in_order_when_due() -> None:
    """Then the partition is resumed."""
    bench = Bench()
    bench.now = 1.0
    assert bench.gate.admit([waiting(0, 500), waiting(1, 600), waiting(2, 1000)]) == []
    assert bench.gate.release(10) == []
    bench.now = 1.65
    assert [one.offset() for one in bench.gate.release(10)] == [0, 1]
    assert bench.paused == {Slot("r", 0)}
    bench.now = 4.0
    assert [one.offset() for one in bench.gate.release(10)] == [2]
    assert (bench.paused, bench.gate.next_due_in()) == (set(), None)


def test_release_respects_the_room_of_a_batch() -> None:
    """What does not fit stays, in order."""
    bench = Bench()
    bench.gate.admit([waiting(number, 0) for number in range(5)])
    bench.now = 2.0
    assert [one.offset() for one in bench.gate.release(2)] == [0, 1]
    assert [one.offset() for one in bench.gate.release(9)] == [2, 3, 4]


def test_what_leaves_is_forgotten() -> None:
    """A revoked partition's records are its next owner's."""
    bench = Bench()
    bench.gate.admit([waiting(0, 0), waiting(0, 0, partition=1)])
    bench.gate.drop([Slot("r", 0)])
    bench.now = 5.0
    assert [one.partition() for one in bench.gate.release(9)] == [1]
    bench.gate.clear()
    assert bench.gate.next_due_in() is None
