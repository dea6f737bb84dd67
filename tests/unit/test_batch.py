"""Batches, and how they shrink when the broker refuses them for what they hold."""

import pytest

from kafka_orders.domain.bulk import Journal
from kafka_orders.domain.errors import UncommittableError
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.shards import Shards
from kafka_orders.log.consumer import ConsumerLostError
from kafka_orders.pipeline.batch import Batch, BatchLimit
from kafka_orders.pipeline.state import State

ZERO, ONE = Slot("orders", 0), Slot("orders", 1)


def batch(size: int, *starts: tuple[Slot, int]) -> Batch:
    made = Batch(size=size)
    for slot, offset in starts or [(ZERO, 0)]:
        made.part(slot, offset)
    return made


def refuse(limit: BatchLimit, *batches: Batch) -> list[int]:
    """The limit after each refusal."""
    sizes = []
    for one in batches:
        limit.refused(one, "too large")
        sizes.append(limit.current)
    return sizes


def test_the_third_refusal_in_a_row_halves() -> None:
    """The batch, where it was smaller than the limit; patience starts anew."""
    assert refuse(BatchLimit(8), *[batch(8)] * 6) == [8, 8, 4, 4, 4, 2]
    assert refuse(BatchLimit(8), *[batch(8)] * 3, *[batch(4)] * 3) == [8, 8, 4, 4, 4, 2]
    assert refuse(BatchLimit(1000), *[batch(10)] * 3) == [1000, 1000, 5]
    assert refuse(BatchLimit(3), *[batch(3)] * 3) == [3, 3, 1]


def test_each_place_has_its_own_count() -> None:
    """Refusals at other places neither add to it nor forget it; one common start is the same place."""
    there = batch(8, (ZERO, 8))
    assert refuse(BatchLimit(8), batch(8), batch(8), there, there, batch(8)) == [8, 8, 8, 8, 4]
    overlapping = [batch(8, (ZERO, 0)), batch(8, (ZERO, 0), (ONE, 5)), batch(8, (ONE, 5))]
    assert refuse(BatchLimit(8), *overlapping) == [8, 8, 4]
    assert refuse(BatchLimit(8), batch(8, (ZERO, 5)), batch(8, (ONE, 5)), batch(8, (ZERO, 5))) == [8, 8, 8]


def committed(slot, offset, next_offset) -> Batch:
    made = batch(1, (slot, offset))
    made.slots[slot].next_offset = next_offset
    return made


def test_a_commit_past_the_place_forgets_refusals_and_restores_the_limit() -> None:
    """The next batch is a full one again."""
    limit = BatchLimit(8)
    refuse(limit, *[batch(8)] * 3, *[batch(4)] * 2)
    limit.succeeded(committed(ZERO, 0, 1))
    assert limit.current == 8
    assert refuse(limit, batch(8), batch(8), batch(8)) == [8, 8, 4]


def test_a_commit_elsewhere_forgets_nothing() -> None:
    """Other partitions go on between two refusals; the record that cannot be committed is named all the same."""
    limit, single = BatchLimit(8), batch(1, (ONE, 20))
    for _ in range(2):
        limit.refused(single, "too large")
        limit.succeeded(committed(ZERO, 5, 9))
        limit.succeeded(committed(ONE, 12, 20))
    with pytest.raises(UncommittableError, match="orders/1/20"):
        limit.refused(single, "too large")


def test_a_record_that_outlasts_the_group_goes_alone_and_is_named_the_third_time() -> None:
    """The last one of its batch is the slow one; what stood before it is committed without it."""
    limit = BatchLimit(1000)
    slow = batch(17, (ZERO, 0))
    slow.latest = (ZERO, 16)
    limit.outlasted(slow, "slow")
    assert limit.current == 1
    limit.succeeded(committed(ZERO, 15, 16))
    assert limit.current == 1
    alone = batch(1, (ZERO, 16))
    alone.latest = (ZERO, 16)
    limit.outlasted(alone, "slow")
    with pytest.raises(UncommittableError, match=r"orders/0/16 .* slow"):
        limit.outlasted(alone, "slow")
    limit.succeeded(committed(ZERO, 16, 17))
    assert limit.current == 1000


def test_a_single_record_is_given_up_only_after_its_own_refusals() -> None:
    """And is named, with the broker's words and what to do."""
    limit, single = BatchLimit(8), batch(1, (ONE, 17))
    assert refuse(limit, single, single) == [8, 8]
    with pytest.raises(UncommittableError, match=r"record orders/1/17 .*: too large\. .*max\.message\.bytes"):
        limit.refused(single, "too large. Mend max.message.bytes")


def test_a_part_keeps_its_first_offset() -> None:
    """The start is that of the first record, what comes later only moves the end."""
    made = Batch()
    part = made.part(ZERO, 5)
    part.next_offset = 9
    assert made.part(ZERO, 9) is part
    assert made.starts() == {(ZERO, 5)}
    assert made.offsets() == [("orders", 0, 9)]


def test_dropping_forgets_what_was_kept_for_showing() -> None:
    """Orders of a partition that left were not committed; dropping a stranger's forgets nothing."""
    made = batch(2, (ZERO, 0), (ONE, 0))
    made.sample.append("an order")  # type: ignore[arg-type]
    made.drop([Slot("orders", 7)])
    assert (len(made.sample), made.slots.keys()) == (1, {ZERO, ONE})
    made.drop([ZERO])
    assert (made.sample, made.slots.keys()) == ([], {ONE})


def test_a_single_record_that_is_too_large_is_cut_more_at_each_refusal() -> None:
    """Only one refused for its size: what is slow, or one of many, keeps its details; so do others beside it."""
    limit, single = BatchLimit(8), batch(1, (ONE, 17))
    limit.refused(batch(8, (ONE, 17)), "too large")
    assert limit.cut(batch(8, (ONE, 17))) == 0
    limit = BatchLimit(8)
    cuts = [limit.cut(single)]
    for _ in range(2):
        limit.refused(single, "too large")
        limit.succeeded(committed(ZERO, 5, 9))
        cuts.append(limit.cut(single))
    assert cuts == [0, 1, 2]
    assert limit.cut(batch(1, (ZERO, 9))) == 0
    limit.succeeded(committed(ONE, 17, 18))
    assert limit.cut(single) == 0
    slow = batch(1, (ZERO, 3))
    slow.latest = (ZERO, 3)
    limit.outlasted(slow, "slow")
    assert limit.cut(slow) == 0


def test_a_record_that_comes_again_in_a_batch_is_not_taken() -> None:
    """Counting it would double it; a step forward may be the end of a transaction."""
    made = Batch()
    made.part(ZERO, 5).next_offset = 9
    made.part(ZERO, 11).next_offset = 12
    with pytest.raises(ConsumerLostError, match="orders/0 was delivered from offset 8 on, expected was 12"):
        made.part(ZERO, 8)


def test_a_batch_that_begins_before_the_state_is_not_counted() -> None:
    """Also where it ends beyond it."""
    state = State("g", {ZERO: Progress("g", 5)}, {ZERO: Shards()}, {ZERO: Journal()})
    with pytest.raises(ConsumerLostError, match="expected was 5 or later"):
        state.after(committed(ZERO, 0, 30))
    assert state.after(committed(ZERO, 5, 30)).progress[ZERO].next_offset == 30


def test_a_refusal_in_a_partition_that_has_gone_slows_down_nobody_here() -> None:
    """Its new owner finds out by itself; comes the partition back, it is known."""
    limit, slow = BatchLimit(1000), batch(3, (ZERO, 13))
    slow.latest = (ZERO, 15)
    limit.outlasted(slow, "slow")
    assert limit.size({ZERO, ONE}) == 1
    assert limit.size({ONE}) == 1000
    assert limit.size({ZERO}) == 1
    limit.succeeded(committed(ZERO, 15, 16))
    assert limit.size({ZERO}) == 1000
