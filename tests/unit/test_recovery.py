"""Where a partition starts, and when it must not."""

import pytest

from kafka_orders.domain.errors import StateMismatchError
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import Bounds, start_offset

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
