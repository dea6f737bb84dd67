"""The outage breaker's decisions: what is an outage, what is not, and how it ends."""

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.fingerprint import Failure
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.policy import Dead, Retry
from kafka_orders.domain.records import Slot
from kafka_orders.pipeline.batch import Batch, Routed
from kafka_orders.pipeline.breaker import FIRST_PAUSE, LONGEST_PAUSE, MOST_PROBES, PROBE_RECORDS, Breaker


def batch(
    good: int = 0, temporary: int = 0, permanent: int = 0, *, keys: int = 10**6, start: int = 0, stage="process"
) -> Batch:
    made = Batch()
    part = made.part(Slot("orders", 0), 0)
    part.values["A"] += [1.0] * good
    for number in range(temporary + permanent):
        decision = Retry(1) if number < temporary else Dead(0)
        message = Message(
            topic="orders", partition=0, offset=number, key=str(start + number % keys).encode(), value=b""
        )
        failure = Failure("shop closed", "builtins.ConnectionError", stage, "f")
        part.routed.append(Routed(message, Origin("orders", 0, number), decision, failure, 0, 0))
    made.size = good + temporary + permanent
    return made


def breaker(**more) -> Breaker:
    return Breaker(0.9, 3, **more)


@pytest.mark.parametrize(
    ("held", "opens"),
    [
        (batch(5, 95), True),
        (batch(0, 100), True),
        (batch(11, 89), False),  # not the share
        (batch(0, 99), False),  # too few to tell
        (batch(0, 200, keys=9), False),  # a few bad keys
        (batch(0, 0, 200), False),  # permanent: about the records
        (batch(0, 200, stage="decode"), False),
        (batch(1000), False),
    ],
)
def test_what_is_an_outage(held: Batch, opens: bool) -> None:
    """A share of many records and many keys, all temporary."""
    one = breaker()
    assert one.refuses(held, 0.0) is opens
    assert bool(one.why) is opens


def test_small_batches_add_up_and_old_ones_are_forgotten() -> None:
    """Light load; and a thousand good orders an hour ago say nothing."""
    one = breaker()
    one.refuses(batch(10_000), 0.0)
    opened = (number for number in range(40) if one.refuses(batch(0, 5, start=5 * number), 1.0))
    assert next(opened) == 19


def test_off_is_off() -> None:
    """Share 0 and no probe."""
    assert not Breaker(0.0).refuses(batch(0, 10_000), 0.0)


def opened() -> Breaker:
    one = breaker()
    assert one.refuses(batch(0, 200), 0.0)
    return one


def test_it_waits_then_tries_some_records_then_waits_longer() -> None:
    """The pause doubles up to its longest."""
    one, now = opened(), 0.0
    assert one.most == PROBE_RECORDS
    assert one.waits(FIRST_PAUSE - 0.01)
    pause = FIRST_PAUSE
    for _ in range(10):
        now += pause
        assert not one.waits(now)
        assert one.refuses(batch(0, PROBE_RECORDS), now)
        pause = min(2 * pause, LONGEST_PAUSE)
        assert one.waits(now + pause - 0.01)


@pytest.mark.parametrize("held", [batch(1, 9), batch(0, 9, 1), batch(10)])
def test_one_record_that_gets_through_closes_it(held: Batch) -> None:
    """Also one whose failure is its own; the batch is committed."""
    one = opened()
    assert not one.refuses(held, 5.0)
    assert (one.why, one.most) == ("", None)


def test_a_few_bad_records_do_not_stop_it_for_good() -> None:
    """Where nothing else arrives; a full probe never gives up."""
    one = opened()
    told = [one.refuses(batch(0, 3), 1.0) for _ in range(MOST_PROBES)]
    assert told == [True] * (MOST_PROBES - 1) + [False]
    one = opened()
    assert all(one.refuses(batch(0, PROBE_RECORDS), 1.0) for _ in range(50))


def test_a_declared_probe_decides_by_itself() -> None:
    """It is asked at a failure, at most once a second, and again at each pause's end."""
    asked, away = [], [True]

    def probe() -> None:
        asked.append(1)
        if away[0]:
            raise OSError("no route")

    one = breaker(probe=probe)
    assert not one.refuses(batch(100), 0.0)
    assert not asked
    assert one.refuses(batch(50, 1), 0.0)
    assert "no route" in one.why
    assert one.waits(FIRST_PAUSE)
    away[0] = False
    assert not one.waits(100.0)
    assert one.why == ""
    assert not one.refuses(batch(50, 1), 100.0)  # it answers: one record's own failure


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_it_never_opens_below_its_share(sizes: list[tuple[int, int]]) -> None:
    """Whatever the batches: what it opens for is at least the share of what it looked at."""
    one = breaker()
    for good, bad in sizes:
        if good + bad and one.refuses(batch(good, bad), 0.0):
            failed, records = (
                int(word) for word in one.why.split(" records")[0].replace("of the last", "").split()
            )
            assert failed >= 0.9 * records >= 90
            break
