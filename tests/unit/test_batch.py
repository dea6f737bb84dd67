"""Batches, and how they shrink when the broker refuses them for what they hold."""

import pytest

from kafka_orders.domain.errors import UncommittableError
from kafka_orders.domain.records import Slot
from kafka_orders.pipeline.batch import Batch, BatchLimit

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


def test_another_batch_starts_the_count_anew() -> None:
    """Three refusals at different places are three accidents; one common start is the same place."""
    there = batch(8, (ZERO, 8))
    assert refuse(BatchLimit(8), batch(8), batch(8), there, batch(8), batch(8)) == [8] * 5
    overlapping = [batch(8, (ZERO, 0)), batch(8, (ZERO, 0), (ONE, 5)), batch(8, (ONE, 5))]
    assert refuse(BatchLimit(8), *overlapping) == [8, 8, 4]
    assert refuse(BatchLimit(8), batch(8, (ZERO, 5)), batch(8, (ONE, 5)), batch(8, (ZERO, 5))) == [8, 8, 8]


def test_a_success_forgets_refusals_and_restores_the_limit() -> None:
    """The next batch is a full one again."""
    limit = BatchLimit(8)
    refuse(limit, *[batch(8)] * 3, *[batch(4)] * 2)
    limit.succeeded()
    assert limit.current == 8
    assert refuse(limit, batch(8), batch(8), batch(8)) == [8, 8, 4]


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
    """Only one refused for its size: what is slow, or one of many, keeps its details."""
    limit, single = BatchLimit(8), batch(1, (ONE, 17))
    cuts = []
    for one, for_size in ((batch(8), True), (single, True), (single, True), (single, False)):
        try:
            limit.refused(one, "too large", for_size=for_size)
        except UncommittableError:
            cuts.append(-1)
        cuts.append(limit.cut)
    assert cuts == [0, 1, 2, -1, 0]
    again = BatchLimit(8)
    again.refused(single, "too large", for_size=True)
    again.succeeded()
    assert again.cut == 0
