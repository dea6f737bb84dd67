"""From the records of the changelog to the shards of one source partition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from operator import add

from kafka_orders.domain.bulk import Journal, load_block, load_delta
from kafka_orders.domain.records import BulkKey, StateKey, load_shard
from kafka_orders.domain.shards import Shards, array_of, pack_row, row_of

#: Shards read at once: one pass of C over all of them takes a quarter of the time of one by one.
_CHUNK = 1_000
_NUMBER = rb"([-+.e\d]+)"
_PLAIN = re.compile(
    rb'^\{"v":1,"count":(\d+),"sum":(\[[-+.e\d,]+\]|[-+.e\d]+),"min":%b,"max":%b,"average":[-+.e\d]+,"next_offset":(\d+)\}$'
    % (_NUMBER, _NUMBER),
    re.MULTILINE,
)
_HEAD = re.compile(rb'\{"v":1,"number":(\d+),"oldest":(\d+),')


@dataclass(slots=True)
class Replay:
    """Feed records in the order of the log, then :meth:`settle`; again and again, where the log goes on.

    What is fed twice counts once. Of blocks and deltas only the newest of each key is read, and deltas that blocks
    contain are passed over, so a log that was not compacted costs little more.
    """

    shards: Shards = field(default_factory=Shards)
    _fed: dict[str, bytes] = field(default_factory=dict)
    _bulk: dict[tuple[str, int], bytes] = field(default_factory=dict)
    _settled: bool = False

    def shard(self, product: str, value: bytes | None) -> None:
        """Feed a shard's record; without a value it was deleted."""
        if value is None:
            self._read()
            self.shards.rows.pop(product, None)
            return
        self._fed[product] = value
        if len(self._fed) >= _CHUNK:
            self._read()

    def bulk(self, key: BulkKey, value: bytes | None) -> None:
        """Feed a block's or a delta's record."""
        if value is None:
            self._bulk.pop(key[1:], None)
        else:
            self._bulk[key[1:]] = value

    def rest(self, key: StateKey | BulkKey, value: bytes, upto: int) -> None:
        """Count what a record holds at once, if its transaction is the one that ended at offset ``upto``."""
        if isinstance(key, StateKey):
            if key.product is not None and (shard := load_shard(value)).next_offset == upto:
                self.shards.take(key.product, row_of(*shard))
        elif key.kind == "delta" and (delta := load_delta(value)).next_offset == upto:
            self.shards.replay(delta)

    def settle(self) -> Journal:
        """Bring the shards up to date; return the journal of what was fed since the last time.

        Raises:
            RefusedError: a record is from a newer version, or is none of ours.
        """
        self._read()
        marks, found = {}, {}
        for (kind, number), value in sorted(self._bulk.items()):
            if kind == "delta":
                found[number] = _numbers(value)
                continue
            mark, rows = load_block(value)
            marks[number] = mark, list(rows)
            self._take(rows.items())
        oldest = max((oldest for _, oldest in found.values()), default=0)
        journal = Journal.restored(marks, {number: key for key, (number, _) in found.items()}, oldest)
        shards = self.shards
        if sum(len(names) for _, names in marks.values()) < len(shards):
            placed = {name for _, names in marks.values() for name in names}
            shards.fresh = [name for name in shards if name not in placed]
        for _, key in journal.live:
            delta = load_delta(self._bulk["delta", key])
            shards.replay(delta)
            journal.fold(delta, shards.fresh)
        journal.settle()
        self._settled = True
        self._bulk.clear()
        return journal

    def _read(self) -> None:
        fed, self._fed = self._fed, {}
        values = list(fed.values())
        rows = zip(fed, _plain_rows(values) or map(_row, values), strict=True)
        if self._settled:
            self._take(rows)
        else:
            self.shards.rows.update(rows)  # in the order of the log, and no delta has been folded yet

    def _take(self, rows: Iterable[tuple[str, bytes]]) -> None:
        for product, row in rows:
            self.shards.take(product, row)


def _numbers(delta: bytes) -> tuple[int, int]:
    found = _HEAD.match(delta)
    if found:
        return int(found[1]), int(found[2])
    return load_delta(delta)[:2]


def _row(value: bytes) -> bytes:
    return row_of(*load_shard(value))


def _plain_rows(values: list[bytes]) -> Iterator[bytes] | None:
    """Return the rows of shards' records; None if one is not just as we write it."""
    lines = b"\n".join(values)
    found = _PLAIN.findall(lines)
    if len(found) != len(values) or lines.count(b"\n") != len(values) - 1:
        return None
    counts, sums, lows, highs, offsets = zip(*found, strict=True)
    try:
        parts = [list(map(float, one.strip(b"[]").split(b","))) for one in sums] if b"[" in lines else []
        firsts = [one[0] for one in parts] or list(map(float, sums))
        figures = [list(map(float, lows)), list(map(float, highs)), firsts]
    except ValueError:
        return None
    if not all(all(map(isfinite, each)) for each in (*figures, *parts)):
        return None
    rows = map(pack_row, map(int, offsets), map(int, counts), *figures)
    return map(add, rows, (array_of(one[1:]).tobytes() for one in parts)) if parts else rows
