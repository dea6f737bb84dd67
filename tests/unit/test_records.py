"""State records: what is written is what is read; what is not ours is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.averages import tally
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
    assert json.loads(dump_progress(Progress("g", 9, 1, 2, 3, 4))) == {
        "v": 1, "group": "g", "next_offset": 9, "processed": 1, "retried": 2, "dead": 3, "skipped": 4,
    }  # fmt: skip
    assert isinstance(json.loads(dump_shard(tally([1e30, 1.0]), 1))["sum"], list)


@given(st.text())
def test_keys_carry_any_product(product) -> None:
    """Slashes and any characters in a product survive."""
    if product.isprintable():
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
