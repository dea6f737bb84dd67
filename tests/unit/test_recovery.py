"""Where a partition starts, and when it must not."""

import re

import pytest

from kafka_orders.domain.errors import StateMismatchError
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import (
    Bounds,
    check_place,
    check_shards,
    check_topic,
    doubt,
    start_offset,
    unproved,
)
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.repair import Repair
from kafka_orders.pipeline.state import Restorer, UnsettledError, _Found

SLOT = Slot("orders", 2)


def start(progress, committed, begin=0, end=100):
    return start_offset(SLOT, "g", progress, committed, Bounds(begin, end))


def test_a_new_group_starts_at_the_beginning_of_the_log() -> None:
    """Neither state nor offset."""
    assert start(None, None, begin=7) == 7


def test_state_and_offset_agree() -> None:
    """The usual restart."""
    assert start(Progress("g", 50), 50) == 50


def test_expired_offsets_are_replaced_by_the_state() -> None:
    """State but no committed offset."""
    assert start(Progress("g", 50), None) == 50


@pytest.mark.parametrize(
    ("progress", "committed", "begin", "end", "says"),
    [
        (None, 50, 0, 100, "state is gone"),
        (Progress("g", 50), 40, 0, 100, "committed 40"),
        (Progress("g", 50), 50, 60, 100, "50 to 59 were removed"),
        (Progress("g", 50), 50, 0, 20, "ends at offset 20"),
        (Progress("other", 50), 50, 0, 100, "belongs to group other"),
    ],
)
def test_disagreement_is_refused_with_the_way_out(progress, committed, begin, end, says) -> None:
    """Exit 4, naming partition, offsets and reset."""
    with pytest.raises(StateMismatchError, match=says) as refused:
        start(progress, committed, begin, end)
    assert refused.value.exit_code == 4
    assert "orders/2" in str(refused.value)
    assert "kafka-orders reset" in str(refused.value)


@pytest.mark.parametrize(("begin", "end"), [(50, 100), (0, 50), (50, 50)])
def test_state_at_the_bounds_of_the_log_is_no_disagreement(begin, end) -> None:
    """All handled records may be removed, and nothing new need have come."""
    assert start(Progress("g", 50), 50, begin, end) == 50


@pytest.mark.parametrize(("begin", "end"), [(51, 100), (0, 49)])
def test_one_offset_beyond_the_bounds_is_refused(begin, end) -> None:
    """A single missing record is a lost order, with or without a committed offset."""
    for committed in (50, None):
        with pytest.raises(StateMismatchError):
            start(Progress("g", 50), committed, begin, end)


def test_an_offset_of_zero_is_an_offset() -> None:
    """Zero is not the same as nothing committed."""
    assert start(Progress("g", 0), 0) == 0
    with pytest.raises(StateMismatchError, match="committed offset 0"):
        start(None, 0)
    with pytest.raises(StateMismatchError, match="committed 0"):
        start(Progress("g", 5), 0)


def test_state_of_a_topic_with_another_id_is_refused() -> None:
    """The same name is not the same log; state from before ids were kept is taken as it is."""
    check_topic(SLOT, Progress("g", 50, topic_id="a"), "a")
    check_topic(SLOT, Progress("g", 50), "a")
    with pytest.raises(StateMismatchError, match=r"orders/2: .*created again.* offset 50 .*reset --yes"):
        check_topic(SLOT, Progress("g", 50, topic_id="a"), "b")


def test_state_in_another_partition_is_refused() -> None:
    """The number of partitions has changed, so that others look elsewhere."""
    check_place(Slot("orders", 7), 1, 6)
    with pytest.raises(StateMismatchError, match="another number of partitions than 9"):
        check_place(Slot("orders", 7), 1, 9)


def test_shards_that_are_fewer_than_what_was_processed_are_refused() -> None:
    """Progress and shards are written in one transaction: who finds one without the other has lost state."""
    check_shards(SLOT, Progress("g", 50, processed=40, dead=10), 40)
    for counted in (39, 0, 41):
        with pytest.raises(StateMismatchError, match=f"{counted} of 40 orders"):
            check_shards(SLOT, Progress("g", 50, processed=40, dead=10), counted)


def judged(progress: Progress, children=(), dead=(), records=10) -> str:
    """Judge a partition of ten orders; ``children`` and ``dead`` are offsets of those retried or dead."""
    links = [("orders", 2, offset) for offset in range(records)]
    parents = [(offset, (*link, 0, 0)) for offset, link in enumerate(links)]
    return doubt(
        progress, parents, {(*links[one], 1, 0) for one in children}, {(*links[one], 0, 0) for one in dead}
    )


def test_the_log_proves_a_state_whose_every_figure_it_shows() -> None:
    """Retries and dead letters as many as the state says, all of records below its offset."""
    assert judged(Progress("g", 6, processed=3, retried=2, dead=1), [0, 3], [5]) == ""
    assert judged(Progress("g", 0)) == ""
    assert judged(Progress("g", 10, processed=9, skipped=1)) == ""


@pytest.mark.parametrize(
    ("progress", "children", "dead", "says"),
    [
        (Progress("g", 6, processed=6), [], [6], "record 6 beyond it has been found dead"),
        (Progress("g", 6, processed=6), [9], [], "record 9 beyond it has been retried"),
        (Progress("g", 6, processed=6), [5], [], r"tell of \(6, 1, 0\)"),
        (Progress("g", 6, processed=5, dead=1), [], [], r"tell of \(6, 0, 0\).* the state of \(6, 0, 1\)"),
        (Progress("g", 6, processed=5, dead=1), [1], [], r"tell of \(6, 1, 0\)"),
        (Progress("g", 6, processed=5), [], [], r"tell of \(6, 0, 0\).* the state of \(5, 0, 0\)"),
    ],
)
def test_a_torn_transaction_is_not_taken_for_a_moved_offset(progress, children, dead, says) -> None:
    """A child too many or too few, on either side of the state's offset."""
    why = judged(progress, children, dead)
    assert re.search(says, why), why
    refused = unproved(SLOT, "g", progress, 3, why)
    assert refused.exit_code == 4
    assert re.search(rf"orders/2: .*committed 3.*not proved: .*{says}.*reset --yes", str(refused))


def test_the_child_of_a_retry_is_the_next_retry_or_its_own_death() -> None:
    """In the retry topic a record's own number counts: the same order's other retries are other records."""
    parents = [(0, ("orders", 2, 7, 1, 0)), (1, ("orders", 2, 7, 2, 0)), (2, ("orders", 2, 8, 3, 0))]
    dead = {("orders", 2, 8, 3, 0)}
    retries = {("orders", 2, 7, 1, 0), ("orders", 2, 7, 2, 0), ("orders", 2, 8, 3, 0)}
    assert doubt(Progress("g", 3, processed=1, retried=1, dead=1), parents, retries, dead) == ""
    assert doubt(Progress("g", 2, processed=1, retried=1), parents, retries, dead).startswith("record 2 beyond")


def restorer() -> Restorer:
    return Restorer(Repair(None, None, Settings()), "averages", 1)  # type: ignore[arg-type]


def found(progress: Progress | None, end: int) -> _Found:
    held = {SLOT: progress} if progress else {}
    return _Found("g", held, {}, {SLOT: Bounds(0, end)}, {SLOT.topic: ""})


def test_what_does_not_fit_is_looked_at_twice() -> None:
    """The second time it is believed; what fits needs one look."""
    looks = restorer()
    assert not looks._confirmed(found(Progress("g", 50), 100), {SLOT: 50})
    with pytest.raises(UnsettledError, match="committed 40"):
        looks._confirmed(found(Progress("g", 50), 100), {SLOT: 40})
    assert looks._confirmed(found(Progress("g", 50), 100), {SLOT: 40})


def test_a_log_that_grows_does_not_hide_that_it_was_cut() -> None:
    """Its end moves with every order that is produced; what was counted beyond it does not move."""
    looks = restorer()
    with pytest.raises(UnsettledError, match="ends at offset 60"):
        looks._confirmed(found(Progress("g", 100), 60), {SLOT: 100})
    assert looks._confirmed(found(Progress("g", 100), 65), {SLOT: 100})
    with pytest.raises(StateMismatchError, match="ends at offset 65"):
        found(Progress("g", 100), 65).start(SLOT, 100)


def test_another_member_at_work_is_no_mismatch() -> None:
    """Its commits move state and offset between our looks, until a poll tells that the partition is gone."""
    looks = restorer()
    for state, committed in ((50, 40), (60, 50), (70, 60)):
        with pytest.raises(UnsettledError):
            looks._confirmed(found(Progress("g", state), 100), {SLOT: committed})
    assert not looks._confirmed(found(Progress("g", 70), 100), {SLOT: 70})


def test_a_retry_with_any_higher_count_is_a_child_beyond_the_state() -> None:
    """`send_to_retry(..., retry_count=2)` by hand writes 3: a torn transaction must not pass for none."""
    parents = [(0, ("orders", 2, 0, 0, 0)), (1, ("orders", 2, 1, 0, 0))]
    assert "record 1 beyond it has been retried" in doubt(
        Progress("g", 1, 1), parents, {("orders", 2, 1, 3, 0)}, set()
    )
    assert not doubt(Progress("g", 1, 1), parents, set(), set())


def test_a_replay_is_a_chain_of_its_own() -> None:
    """It begins at retryCount 0 again; with the replay's number it is not taken for the order's first try."""
    first, sent = ("orders", 2, 7, 1, 0), ("orders", 2, 7, 0, 1)
    again = ("orders", 2, 7, 1, 1)
    parents = [(0, first), (1, sent), (2, again)]
    retries, dead = {first, sent, again}, {first}
    assert doubt(Progress("g", 3, processed=1, retried=1, dead=1), parents, retries, dead) == ""
    assert doubt(Progress("g", 1, dead=1), parents, retries - {again}, dead) == ""
    assert "beyond it has been retried" in doubt(Progress("g", 1, dead=1), parents[:2], retries, dead)
    counted = Progress("g", 2, processed=1, dead=1)  # the replay passed: the first retry is none of its own
    assert doubt(counted, parents[:2], {first, sent}, dead) == ""
