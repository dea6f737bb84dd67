"""Deltas and blocks: whatever was committed, and whatever compaction left of it, gives the exact shards."""

from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_orders.domain import bulk, replay
from kafka_orders.domain.averages import Tally, tally
from kafka_orders.domain.bulk import load_block, load_delta
from kafka_orders.domain.errors import RefusedError
from kafka_orders.domain.records import (
    BulkKey,
    Progress,
    Slot,
    bulk_key,
    dump_progress,
    dump_shard,
    load_progress,
    parse_bulk_key,
    parse_key,
    progress_key,
    shard_key,
)
from kafka_orders.domain.replay import Replay
from kafka_orders.domain.shards import Shards, row_of, shard_of
from kafka_orders.pipeline import state as states
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.state import State
from tests.support.shards import ShardsOf, read_shards

SLOT = Slot("orders", 3)
Log = list[tuple[bytes, bytes]]

#: Sums of these need one part, two, or three; names with what JSON escapes, and what separates names.
figures = st.sampled_from([0.0, 1.5, 49.9900016784668, 0.1, 1e30, 1e-30, 499.9])
products = st.sampled_from([f"p{number}" for number in range(12)] + ["a\nb", '"', "Größe/1", "\U0001f600" * 3, ""])
batches = st.dictionaries(products, st.lists(figures, min_size=1, max_size=10), max_size=12)
steps = st.lists(
    st.tuples(st.sampled_from(["commit", "commit", "commit", "abort", "restart", "idle"]), batches, st.randoms()),
    max_size=25,
)


@pytest.fixture
def small(monkeypatch) -> None:
    """Limits that a few products reach."""
    monkeypatch.setattr(states, "FEW", 4)
    monkeypatch.setattr(states, "OWED", 12)
    monkeypatch.setattr(states, "_STEP", 3)
    monkeypatch.setattr(bulk, "BLOCK", 3)
    monkeypatch.setattr(bulk, "MOST_LIVE", 5)
    monkeypatch.setattr(bulk, "MOST_BYTES", 250)


def restored(log: Log) -> State:
    """A state as a worker restores it."""
    replay, progress = Replay(), Progress("g", 0)
    for key, value in log:
        place = parse_key(key) or parse_bulk_key(key)
        if isinstance(place, BulkKey):
            replay.bulk(place, value)
        elif place is not None and place.product is not None:
            replay.shard(place.product, value)
        else:
            progress = load_progress(value)
    journal = replay.settle()
    replay.shards.sum_up()
    return State("g", {SLOT: progress}, {SLOT: replay.shards}, {SLOT: journal})


def written(state: State, values: dict[str, list[float]]) -> tuple[Log, states.Changes]:
    """What a batch of these values writes."""
    batch = Batch()
    start = state.progress[SLOT].next_offset
    part = batch.part(SLOT, start)
    for product, found in values.items():
        part.values[product].extend(found)
    part.next_offset = start + part.processed + 1
    changes = state.after(batch)
    records = [(progress_key(SLOT), dump_progress(changes.progress[SLOT])), *changes.shards[SLOT].records()]
    return records, changes


def compacted(log: Log, source) -> Log:
    """The log without some of the records that newer ones of the same key follow."""
    newest = {key: at for at, (key, _) in enumerate(log)}
    return [one for at, one in enumerate(log) if newest[one[0]] == at or source.random() < 0.5]


@pytest.mark.usefixtures("small")
@settings(deadline=None, max_examples=300)
@given(steps)
def test_every_history_gives_the_exact_shards(history) -> None:
    """Many products and few, folded or not, aborted, restarted, compacted: nothing is lost, nothing doubled."""
    log: Log = []
    counted: dict[str, list[float]] = defaultdict(list)
    state = restored(log)
    for what, values, source in history:
        if what == "commit":
            records, changes = written(state, values)
            state.apply(changes)
            log += records
            for product, found in values.items():
                counted[product] += found
        elif what == "idle":
            state.fold()
        else:
            if what == "abort":
                written(state, values)
            log = compacted(log, source)
            state = restored(log)
        exact = {product: tally(found) for product, found in counted.items()}
        assert {product: state.product(product) for product in exact} == exact
        assert state.overall() == tally([value for found in counted.values() for value in found])
    log = compacted(log, source) if history else log
    assert dict(restored(log).shards[SLOT]) == exact if history else True
    assert_checker_agrees(log, counted)


def assert_checker_agrees(log: Log, counted: dict[str, list[float]]) -> None:
    """The fault checker has a reading of its own."""
    found = read_shards(log).get("orders/3", ShardsOf(""))
    exact = {product: (len(each), sum(map(Fraction, each), Fraction(0))) for product, each in counted.items()}
    assert {product: one[1:] for product, one in found.held.items()} == exact


@pytest.mark.usefixtures("small")
def test_what_has_to_be_replayed_stays_bounded() -> None:
    """For ever: keys of deltas are used again, and the newest blocks contain all but the last deltas."""
    state, log = restored([]), dict[bytes, bytes]()
    for number in range(500):
        values = {f"p{(number * 5 + step) % 30}": [1.0] for step in range(5)}
        records, changes = written(state, values)
        state.apply(changes)
        log.update(records)
    assert len(log) < 60
    assert len(state.journals[SLOT].live) <= 30
    assert restored(list(log.items())).overall().count == 2500


def test_a_newer_delta_is_refused_and_garbage_too() -> None:
    for load in (load_delta, load_block):
        with pytest.raises(RefusedError, match="newer"):
            load(b'{"v":2}')
        for garbage in (b"", b"[]", b'{"v":1}', b'{"v":1,"products":"a","counts":"x","values":"","shards":1}'):
            with pytest.raises(RefusedError, match="cannot be read"):
                load(garbage)


@given(st.lists(st.floats(min_value=0, max_value=2.0**900), min_size=1), st.integers(0, 2**62))
def test_rows_come_back(values, offset) -> None:
    assert shard_of(row_of(tally(values), offset)) == (tally(values), offset)


@given(st.lists(st.floats(min_value=0, max_value=2.0**900), max_size=12), st.lists(figures, max_size=12))
def test_folding_is_exact(values, more) -> None:
    shards = Shards({"A": tally(values)}) if values else Shards()
    for found in (more[:1], more[1:4], more[4:]):
        shards.fold({"A": found} if found else {}, 1, shards.rows)
    assert shards.get("A", Tally()) == tally([*values, *more])


@pytest.mark.parametrize("key", [b"orders/03#delta-1", b"orders/3#delta-01", b"orders/3#x-1", b"o/3#delta-1/a",
                                 b"orders/3#delta-1\n", b"\xff/3#delta-1", b"", None])  # fmt: skip
def test_only_our_own_bulk_keys(key) -> None:
    assert parse_bulk_key(key) is None
    assert parse_bulk_key(bulk_key(SLOT, "delta", 17)) == (SLOT, "delta", 17)


def test_a_bulk_key_is_nothing_else() -> None:
    """Older readers pass it over; a product of the same name is another key."""
    assert parse_key(bulk_key(SLOT, "delta", 17)) is None
    assert parse_bulk_key(shard_key(SLOT, "x/3#delta-17")) is None
    assert parse_bulk_key(shard_key(SLOT, "#delta-17")) is None


@given(st.lists(st.tuples(st.lists(st.floats(0, 2.0**900), min_size=1, max_size=4), st.integers(0, 10**9)),
                min_size=1, max_size=5), st.sampled_from([b"", b"\n", b" ", b"1e999"]))  # fmt: skip
def test_shards_are_read_all_at_once_as_one_by_one(shards, odd) -> None:
    """The quick way takes what we write only; anything else goes the strict way, to the same rows."""
    values = [dump_shard(tally(found), offset) for found, offset in shards]
    exact = [row_of(tally(found), offset) for found, offset in shards]
    assert list(replay._plain_rows(values) or []) == exact
    if odd == b"1e999":
        values[0] = b'{"v":1,"count":1,"sum":1e999,"min":1,"max":1,"average":1,"next_offset":1}'
    assert replay._plain_rows([values[0] + odd, *values[1:]]) is None or not odd
