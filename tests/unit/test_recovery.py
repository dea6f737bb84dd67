"""Where a partition starts, and when it must not."""

import pytest

from kafka_orders.domain.errors import StateMismatchError
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import Bounds, check_place, check_shards, check_topic, start_offset

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
