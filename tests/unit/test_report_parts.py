"""The parts of the report that need no broker: samples, rates, ages, waiting retries, percentiles."""

from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.deadletters.dialects import ALL
from kafka_orders.deadletters.letters import Letter
from kafka_orders.domain.records import Slot
from kafka_orders.domain.standing import DISCARDED, NOTHING_DONE, OPEN, RESOLVED, LetterId, Standing
from kafka_orders.log.message import Message
from kafka_orders.report.ages import Ages
from kafka_orders.report.dead import Dead
from kafka_orders.report.history import MOST, History, Rate
from kafka_orders.report.latency import Latencies
from kafka_orders.report.model import Sample
from kafka_orders.report.waiting import Waiting

ORDERS, RETRY = Slot("orders", 0), Slot("orders_retry", 2)


def sample(at_ms: int) -> Sample:
    return Sample(at_ms, float(at_ms), at_ms, 0, 0)


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=4_000))
def test_history_is_bounded_in_order_and_ends_with_the_newest(steps: list[int]) -> None:
    held, now = History(), 0
    for step in steps:
        now += step
        held.add(sample(now))
        found = held.samples()
        assert len(found) <= MOST
    times = [one.at_ms for one in found]
    assert times == sorted(set(times))
    assert times[-1] == now


def test_history_keeps_a_sample_a_second_and_the_newest() -> None:
    held = History()
    for at in (1_000, 2_000, 2_400, 2_900):
        held.add(sample(at))
    assert [one.at_ms for one in held.samples()] == [1_000, 2_000, 2_900]
    held.add(sample(3_000))
    assert [one.at_ms for one in held.samples()] == [1_000, 2_000, 3_000]


def test_a_rate_is_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.see(0, 0) == 0.0
    for second in range(1, 11):
        assert rate.see(second * 1000, second * 100) == 100.0
    assert [rate.see(second * 1000, 1_000) for second in (11, 13, 15)][-1] == 0.0
    assert rate.see(16_000, 3) == 0.0, "a counter that went back is another one"


def test_ages_tell_since_when_a_record_is_unread() -> None:
    ages = Ages()
    assert ages.seconds(0, 0) == 0.0
    ages.see(1_000, 10)
    ages.see(2_000, 20)
    ages.see(3_000, 30)
    assert ages.seconds(5_000, 30) == 0.0, "all is read"
    assert ages.seconds(5_000, 20) == 3.0, "it came after the look at 2,000"
    assert ages.seconds(5_000, 29) == 3.0
    assert not ages.wants(29)


def test_what_nobody_saw_come_is_asked_of_the_log() -> None:
    ages = Ages()
    ages.see(10_000, 100)
    assert ages.seconds(10_000, 50) is None
    assert ages.wants(50)
    ages.know(4_000, 50)
    assert not ages.wants(50)
    assert ages.seconds(10_000, 50) == 6.0
    assert ages.wants(60), "the group has moved on: another record is the oldest"
    assert ages.seconds(11_000, 100) == 0.0


def test_waiting_retries_by_band() -> None:
    waiting = Waiting()
    for offset, due, attempt in ((0, 1_000, 1), (1, 2_000, 1), (3, 9_000, 2)):
        waiting.add(RETRY, offset, due, attempt)
    waiting.add(RETRY, 1, 0, 1)
    assert len(waiting) == 3, "a record that is read again counts once"
    first, second = waiting.bands(now_ms=1_500)
    assert (first.attempt, first.waiting, first.due, first.next_due_ms) == (1, 2, 1, 1_000)
    assert (second.attempt, second.waiting, second.due) == (2, 1, 0)
    assert waiting.of(RETRY, 1_500) == (3, 2, 0.5)
    waiting.handled(RETRY, 2)
    assert [(one.attempt, one.waiting) for one in waiting.bands(0)] == [(2, 1)]
    waiting.handled(RETRY, 4)
    assert len(waiting) == 0
    assert waiting.of(RETRY, 0) == (0, 0, 0.0)


def test_latency_samples_are_of_what_transactions_handled() -> None:
    found = Latencies()
    assert found.pick() is None
    found.committed(ORDERS, 5, 5, 1)
    assert found.pick() is None, "a transaction without orders has none to look at"
    found.committed(ORDERS, 5, 9, 77)
    slot, offset, at_ms = found.pick() or (ORDERS, 0, 0)
    assert (slot, at_ms) == (ORDERS, 77)
    assert 5 <= offset < 9
    for one in range(100):
        found.found(one)
    found.found(-5)
    told = found.latency()
    assert (told.samples, told.p50_ms, told.p99_ms) == (101, 49.0, 98.0)


def dead() -> Dead:
    return Dead(lambda _: {}, "product", lambda: 0.0)


def letter(offset: int, fingerprint: str = "f", *, retried: bool = False, at_ms: int = 60_000) -> Letter:
    held = [
        ("x-failure-fingerprint", fingerprint.encode()),
        ("x-exception-fqcn", b"a.B"),
        ("error", b"why"),
        ("x-failure-stage", b"process"),
        ("x-failed-at", b"%d" % at_ms),
        ("retryCount", b"3" if retried else b"0"),
    ]
    record = Message(topic="dlq", partition=0, offset=offset, key=b"k%d" % offset, value=b"", headers=held,
                     timestamp=(1, at_ms))  # fmt: skip
    return Letter(record, NOTHING_DONE, ALL)


def test_what_retention_removes_is_forgotten_by_groups_too() -> None:
    kept, fresh = dead(), dead()
    for offset in range(100):
        one = letter(offset, retried=offset < 70, at_ms=60_000 * (1 + offset // 50))
        kept.add(one)
        if offset >= 50:
            fresh.add(one)
    kept.removed(0, 50)
    told, anew = kept.letters({}), fresh.letters({})
    assert (told.total, told.statuses, told.kinds) == (anew.total, anew.statuses, anew.kinds)
    (mine,), (theirs,) = told.groups, anew.groups
    assert (mine.letters, mine.first_ms, mine.sample, mine.looks_like) == (
        50,
        120_000,
        "dlq/0/50",
        theirs.looks_like,
    )
    kept.removed(0, 100)
    assert (kept.letters({}).total, kept.letters({}).groups) == (0, ())
    kept.add(letter(100))
    assert [one.letters for one in kept.letters({}).groups] == [1]


def test_standings_move_the_counts() -> None:
    held = dead()
    held.moved(LetterId("dlq", 0, 7), Standing(RESOLVED))
    for offset in range(3):
        held.add(letter(offset))
    held.moved(LetterId("dlq", 0, 0), Standing(DISCARDED))
    told = held.letters({})
    assert (told.statuses, told.groups[0].open) == ({"open": 2, "discarded": 1}, 2)
    held.moved(LetterId("dlq", 0, 0), Standing(OPEN))
    assert held.letters({}).statuses == {"open": 3}


def test_the_latest_failures_are_the_newest_whatever_is_read_first() -> None:
    times = [60_000 + 1_000 * (number * 37 % 50) for number in range(50)]
    held = dead()
    for offset, at_ms in enumerate(times):
        held.add(letter(offset, at_ms=at_ms))
    assert [one.at_ms for one in held.failures()] == sorted(times, reverse=True)[:20]
