"""State records: what is written is what is read; what is not ours is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.averages import Tally, tally
from kafka_orders.domain.errors import RefusedError
from kafka_orders.domain.records import (
    Progress,
    Slot,
    StateKey,
    dump_progress,
    dump_shard,
    load_progress,
    load_shard,
    parse_key,
    progress_key,
    shard_key,
)

SLOT = Slot("orders", 3)


@given(st.lists(st.floats(min_value=0, max_value=1e30), min_size=1), st.integers(0, 2**60))
def test_a_shard_is_read_as_it_was_written(values, offset) -> None:
    """Sums of several parts come back exactly."""
    assert load_shard(dump_shard(tally(values), offset)) == (tally(values), offset)


def test_a_progress_is_read_as_it_was_written() -> None:
    """All counts come back."""
    progress = Progress("group", 118, 100, 10, 5, 3)
    assert load_progress(dump_progress(progress)) == progress


def test_the_record_has_the_contract_fields() -> None:
    """Names and values are those of the design."""
    assert json.loads(dump_shard(tally([2.0, 4.0]), 118)) == {
        "v": 1, "count": 2, "sum": 6.0, "min": 2.0, "max": 4.0, "average": 3.0, "next_offset": 118,
    }  # fmt: skip
    assert json.loads(dump_progress(Progress("g", 9, 1, 2, 3, 4, "id"))) == {
        "v": 1, "group": "g", "next_offset": 9, "processed": 1, "retried": 2, "dead": 3, "skipped": 4,
        "topic_id": "id",
    }  # fmt: skip
    assert isinstance(json.loads(dump_shard(tally([1e30, 1.0]), 1))["sum"], list)


@given(st.text())
def test_keys_carry_any_product(product) -> None:
    """Slashes and any characters in a product survive."""
    assert parse_key(shard_key(SLOT, product)) == StateKey(SLOT, product)
    assert parse_key(progress_key(SLOT)) == StateKey(SLOT, None)


@pytest.mark.parametrize("key", [None, b"", b"orders", b"orders/x", b"\xff/1", b"orders/3x/Item1"])
def test_a_strangers_key_is_no_state(key) -> None:
    """It is left alone."""
    assert parse_key(key) is None


@pytest.mark.parametrize("load", [load_shard, load_progress])
def test_a_newer_version_is_refused(load) -> None:
    """Guessing could lose counts."""
    with pytest.raises(RefusedError, match="newer"):
        load(b'{"v":2}')


@pytest.mark.parametrize("load", [load_shard, load_progress])
@pytest.mark.parametrize("value", [b"", b"x", b"[]", b"{}", b'{"v":1}', b'{"v":1,"count":"x"}', b"\xff"])
def test_garbage_is_refused(load, value) -> None:
    """With a way out."""
    with pytest.raises(RefusedError, match="reset"):
        load(value)


def test_offsets_only_grow() -> None:
    """A batch that ends before the progress is a bug, not an update."""
    progress = Progress("g", 10)
    assert progress.plus(12, 1, 0, 1, 0) == Progress("g", 12, 1, 0, 1, 0)
    with pytest.raises(ValueError, match="behind"):
        progress.plus(9, 0, 0, 0, 0)


@pytest.mark.parametrize("product", ["", "/", "a/b/c", "//", "3", "\n", "\x00", "Größe/5"])
def test_a_product_with_slashes_is_one_product(product) -> None:
    """Only the first two slashes separate; an empty product is not a progress key."""
    assert parse_key(shard_key(SLOT, product)) == StateKey(SLOT, product)
    assert shard_key(SLOT, product) != progress_key(SLOT)


@given(
    st.text(min_size=1), st.integers(0, 2**62), st.integers(0, 2**40), st.integers(0, 2**40),
    st.integers(0, 2**40), st.integers(0, 2**40),
)  # fmt: skip
def test_any_progress_survives(group, offset, processed, retried, dead, skipped) -> None:
    """Large counts are not rounded."""
    progress = Progress(group, offset, processed, retried, dead, skipped)
    assert load_progress(dump_progress(progress)) == progress
    assert progress.handled == processed + retried + dead + skipped


@given(st.lists(st.floats(min_value=0, max_value=2.0**890), min_size=1, max_size=8))
def test_wide_sums_survive(values) -> None:
    """Many parts, from subnormal to the largest, and the average is the tally's."""
    assert load_shard(dump_shard(tally(values), 1)).tally == tally(values)
    assert json.loads(dump_shard(tally(values), 1))["average"] == tally(values).average


def test_counts_add_up_each_in_its_place() -> None:
    """A batch adds to what was there."""
    assert Progress("g", 10, 1, 2, 3, 4).plus(20, 10, 20, 30, 40) == Progress("g", 20, 11, 22, 33, 44)
    assert Progress("g", 10).plus(10, 0, 0, 0, 0) == Progress("g", 10)


def test_a_sum_of_zero_has_no_parts() -> None:
    """Free orders are counted."""
    assert load_shard(dump_shard(tally([0.0, 0.0]), 7)) == (tally([0.0, 0.0]), 7)
    assert json.loads(dump_shard(tally([0.0]), 7))["sum"] == 0.0


def test_the_complaint_shows_what_it_found_but_not_all_of_it() -> None:
    """A megabyte of garbage makes a readable message."""
    with pytest.raises(RefusedError, match="AVERAGES_TOPIC") as refused:
        load_shard(b"garbage" * 100_000)
    assert "garbage" in str(refused.value)
    assert len(str(refused.value)) < 500


@given(st.binary(max_size=60))
def test_noise_is_refused_or_no_key(noise) -> None:
    """Any bytes: a refusal, never another error."""
    for load in (load_shard, load_progress):
        with pytest.raises(RefusedError):
            load(noise)
    found = parse_key(noise)
    assert found is None or noise.count(b"/") >= 1


@pytest.mark.parametrize("impossible", [float("nan"), float("inf")])
def test_what_is_no_json_number_is_not_written(impossible) -> None:
    """A state that no reader could use never reaches the topic."""
    with pytest.raises(ValueError, match="not finite"):
        dump_shard(Tally(1, (impossible,), 1.0, 1.0), 5)
