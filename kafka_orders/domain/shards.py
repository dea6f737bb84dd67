"""The shards of one source partition in memory: one row of 40 bytes for each product.

A row is little-endian: its ``next_offset`` and count (int64), minimum, maximum and sum (doubles), then the rest of
the sum where one double does not hold it exactly. A million products take about 190 MB, names included; as objects
they took twice that, and every garbage collection walked over them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from struct import Struct
from typing import NamedTuple

from kafka_orders.domain.averages import EMPTY, Tally, exact_sum, merge_all, tally
from kafka_orders.domain.records import Shard

_ROW, _OFFSET = Struct("<qqddd"), Struct("<q")
#: Bytes of a row before its sum.
_HEAD = 32
#: A product that was never counted: any value is its minimum and its maximum.
_NEW = _ROW.pack(0, 0, inf, -inf, 0.0)
#: Values that are added one by one; more than that go faster through ``fsum``.
_SHORT = 8
#: Rows summed up at once: bounds the memory that takes.
_CHUNK = 50_000

pack_row = _ROW.pack


def row_of(shard: Tally, next_offset: int) -> bytes:
    """Return the row of a shard."""
    first, *rest = shard.sum or (0.0,)
    row = _ROW.pack(next_offset, shard.count, shard.min, shard.max, first)
    return row + array_of(rest).tobytes() if rest else row


def shard_of(row: bytes) -> Shard:
    """Return the shard of a row."""
    next_offset, count, low, high, total = _ROW.unpack_from(row)
    if not count:
        return Shard(EMPTY, next_offset)
    parts: tuple[float, ...] = (total,) if total else ()
    if len(row) > _ROW.size:
        parts += tuple(doubles(row[_ROW.size :]))
    return Shard(Tally(count, parts, low, high), next_offset)


def rows_in(held: bytes, parts: Sequence[int] | None) -> list[bytes]:
    """Return the rows that stand in ``held``; ``parts`` tells of how many doubles their sums are (None: one each).

    Raises:
        ValueError: they are not rows.
    """
    size = _ROW.size
    if parts is None:
        rows = [held[at : at + size] for at in range(0, len(held), size)]
    else:
        ends, at = [], 0
        for number in parts:
            at += size + 8 * (number - 1)
            ends.append(at)
        rows = [held[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    if len(b"".join(rows)) != len(held) or any(len(row) < size for row in rows):
        raise ValueError("not rows of shards")
    return rows


def parts_of(rows: Sequence[bytes]) -> list[int] | None:
    """Return of how many doubles the sums of rows are; None where each is one."""
    sizes = list(map(len, rows))
    return [1 + (size - _ROW.size) // 8 for size in sizes] if max(sizes, default=0) > _ROW.size else None


class Delta(NamedTuple):
    """What a transaction counted. Deltas before number ``oldest`` are contained in blocks."""

    number: int
    oldest: int
    start: int
    next_offset: int
    values: Mapping[str, Sequence[float]]


class Shards(Mapping[str, Tally]):
    """The tally of each product, and of all together."""

    def __init__(self, tallies: Mapping[str, Tally] | None = None) -> None:
        self.rows = {product: row_of(one, 0) for product, one in (tallies or {}).items()}
        #: Products that have no place in a block, in order; who gives them one clears the list.
        self.fresh: list[str] = []
        self.overall = EMPTY
        self.sum_up()

    def __getitem__(self, product: str) -> Tally:
        return shard_of(self.rows[product]).tally

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, product: str, row: bytes) -> None:
        """Take a row from the changelog unless a newer one is held."""
        held = self.rows.get(product)
        if held is None or _OFFSET.unpack_from(held)[0] <= _OFFSET.unpack_from(row)[0]:
            self.rows[product] = row

    def fold(self, values: Mapping[str, Sequence[float]], next_offset: int, into: dict[str, bytes]) -> list[Tally]:
        """Put rows with ``values`` counted ``into`` a dict, which may be ``rows``; return tallies of the values.

        The short way is the rule where there are many products: a few values more, and a sum that is exact, since
        subtraction gives back both of what was added (whichever of the two is larger, one of these differences is
        exact, and then shows what rounding took: Dekker's Fast2Sum).
        """
        get, unpack, pack, size, fresh = self.rows.get, _ROW.unpack, _ROW.pack, _ROW.size, self.fresh
        short: list[float] = []
        others: list[Tally] = []
        for product, found in values.items():
            row = get(product, _NEW)
            if row is _NEW:
                fresh.append(product)
            if len(found) <= _SHORT and len(row) == size:
                _, count, low, high, total = unpack(row)
                for value in found:
                    new = total + value
                    if new - total != value or new - value != total:
                        break
                    total = new
                    low = value if value < low else low
                    high = value if value > high else high
                else:
                    short += found
                    into[product] = pack(next_offset, count + len(found), low, high, total)
                    continue
            others.append(tally(found))
            into[product] = row_of(shard_of(row).tally.merge(others[-1]), next_offset)
        return [tally(short), *others]

    def replay(self, delta: Delta) -> None:
        """Count what a delta holds where a row does not hold it yet."""
        get, unpack, start = self.rows.get, _OFFSET.unpack_from, delta.start
        missing = {one: found for one, found in delta.values.items() if unpack(get(one, _NEW))[0] <= start}
        self.fold(missing, delta.next_offset, self.rows)

    def sum_up(self) -> None:
        """Work out the overall tally anew, from all rows."""
        everything = iter(self.rows.values())
        self.overall = merge_all(iter(lambda: _sum(list(islice(everything, _CHUNK))), EMPTY))


def _sum(rows: Sequence[bytes]) -> Tally:
    """Return the tally of rows; none of them is empty."""
    if not rows:
        return EMPTY
    heads = b"".join(row[:_HEAD] for row in rows)
    whole, extremes = array("q", heads), doubles(heads)
    if sys.byteorder == "big":
        whole.byteswap()
    parts = doubles(b"".join(row[_HEAD:] for row in rows))
    return Tally(sum(whole[1::4]), exact_sum(parts), min(extremes[2::4]), max(extremes[3::4]))


def array_of(values: Sequence[float]) -> array[float]:
    """Return doubles whose bytes are little-endian."""
    made = array("d", values)
    if sys.byteorder == "big":
        made.byteswap()
    return made


def doubles(held: bytes) -> array[float]:
    """Return the doubles of little-endian bytes.

    Raises:
        ValueError: their number is not a multiple of eight.
    """
    made = array("d")
    made.frombytes(held)
    if sys.byteorder == "big":
        made.byteswap()
    return made
