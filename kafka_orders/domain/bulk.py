"""State records of many products at once: what a transaction writes that changes many shards.

A *delta* holds the values a transaction counted, a *block* whole shards. A product's state is its newest whole
shard, be it a record of its own or in a block, and the deltas behind it: a shard covers all offsets before its
``next_offset``, a delta those from ``from`` to its ``next_offset``, and both end where transactions end. So a
delta is contained in a shard, or lies wholly behind it.

Each transaction with deltas also writes some blocks, always those that were not written for the longest time, and
half as many shards as it changed. So what has to be replayed is never more than twice the state.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from math import isfinite
from typing import Any, NamedTuple

from kafka_orders.domain.records import VERSION, load_fields, unreadable, whole
from kafka_orders.domain.shards import Shards, array_of, doubles, parts_of, rows_in

#: Most bytes of a delta; a topic takes records of 1 MB unless told otherwise.
MOST_BYTES = 256 * 1024
#: Products in a block.
BLOCK = 1_000
#: Deltas that may have to be replayed, however small they are.
MOST_LIVE = 1_000
#: Shards written in blocks for each shard changed by deltas.
_SHARE = 0.5
_NUMBERS = ("number", "oldest", "from", "next_offset")

Values = Mapping[str, Sequence[float]]


class Delta(NamedTuple):
    """What a transaction counted. Deltas before number ``oldest`` are contained in blocks."""

    number: int
    oldest: int
    start: int
    next_offset: int
    values: Values


def dump_delta(delta: Delta) -> bytes:
    """Return the JSON of a delta; the values of all products stand one after the other, 8 bytes each."""
    values = delta.values
    head = {"v": VERSION, **dict(zip(_NUMBERS, delta, strict=False))}
    figures = array_of(list(chain.from_iterable(values.values()))).tobytes()
    counts = list(map(len, values.values())) if len(figures) != 8 * len(values) else None
    return _dump({**head, "products": list(values), "counts": counts, "values": b64encode(figures).decode()})


def load_delta(value: bytes) -> Delta:
    """Return the delta of a record.

    Raises:
        RefusedError: the record is from a newer version, or is not a delta at all.
    """
    fields = load_fields(value)
    try:
        products, figures = fields["products"], doubles(b64decode(fields["values"], validate=True)).tolist()
        counts = list(map(whole, fields["counts"] or [1] * len(products)))
        if sum(counts) != len(figures) or not all(counts) or not all(map(isfinite, figures)):
            raise ValueError(counts)
        each = iter(figures)
        values = {
            product: [next(each) for _ in range(count)] for product, count in zip(products, counts, strict=True)
        }
        number, oldest, start, next_offset = (whole(fields[name]) for name in _NUMBERS)
        return Delta(number, oldest, start, next_offset, values)
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(value) from error


def dump_block(names: Sequence[str], shards: Shards, mark: int) -> bytes:
    """Return the JSON of a block; it contains all deltas before number ``mark``."""
    rows = list(map(shards.rows.__getitem__, names))
    held = b64encode(b"".join(rows)).decode()
    return _dump({"v": VERSION, "mark": mark, "products": list(names), "parts": parts_of(rows), "shards": held})


def load_block(value: bytes) -> tuple[int, dict[str, bytes]]:
    """Return the mark of a block, and its rows.

    Raises:
        RefusedError: the record is from a newer version, or is not a block at all.
    """
    fields = load_fields(value)
    try:
        rows = rows_in(b64decode(fields["shards"], validate=True), fields["parts"])
        return whole(fields["mark"]), dict(zip(fields["products"], rows, strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(value) from error


def _dump(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


@dataclass(slots=True)
class _Block:
    names: list[str]
    #: Deltas before this number are in the block's record, or touch none of its products.
    mark: int
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a transaction writes for one slot, and what that makes of its journal."""

    #: Kind and number of each key, and its value.
    records: list[tuple[str, int, bytes]]
    #: Products whose values alone are too large for a delta: they need a shard of their own.
    alone: Values
    blocks: int
    deltas: int
    oldest: int
    credit: float


@dataclass(slots=True)
class Journal:
    """Which blocks and deltas of a slot the changelog holds, and which blocks are due."""

    blocks: list[_Block] = field(default_factory=list)
    #: Numbers of the blocks, the one that was not written for the longest time first.
    queue: deque[int] = field(default_factory=deque)
    #: Number and key of each delta that has to be replayed.
    live: deque[tuple[int, int]] = field(default_factory=deque)
    #: Keys of deltas that are contained in blocks: they are written over, so a topic keeps no more than it needs.
    free: list[int] = field(default_factory=list)
    number: int = 0
    credit: float = 0.0

    @classmethod
    def restored(
        cls,
        blocks: Mapping[int, tuple[int, Sequence[str]]],
        deltas: Mapping[int, int],
        oldest: int,
        names: Iterable[str],
    ) -> Journal:
        """Return the journal of what a changelog holds: blocks with mark and names, keys of deltas by number.

        ``names`` are all products. Those in no block are taken as if the oldest delta touched them.
        """
        held = [blocks.get(number, (oldest, ())) for number in range(max(blocks, default=-1) + 1)]
        made = cls([_Block(list(inside), mark, sum(map(len, inside))) for mark, inside in held])
        made.number = max((mark for mark, _ in held), default=0)
        made.queue.extend(range(len(held)))
        for number, key in sorted(deltas.items()):
            made.live.append((number, key)) if number >= oldest else made.free.append(key)
            made.number = max(made.number, number + 1)
        if made.number:
            known = set(chain.from_iterable(inside for _, inside in held))
            made.place((name for name in names if name not in known), oldest)
        made.queue = deque(sorted(made.queue, key=lambda number: (made.blocks[number].mark, number)))
        return made

    def plan(self, values: Values, shards: Shards, start: int, next_offset: int) -> Plan:
        """Return what a transaction that counts ``values`` writes; nothing of it has happened yet."""
        pieces, alone = _pieces(values)
        credit, due = self.credit + _SHARE * len(values), 0
        for number in self.queue:
            block = self.blocks[number]
            if len(block.names) > credit and block.mark > self.number - MOST_LIVE:
                break
            credit, due = max(0.0, credit - len(block.names)), due + 1
        rest = len(self.queue) > due
        oldest = self.blocks[self.queue[due]].mark if rest else self.number
        records = [
            ("block", number, dump_block(self.blocks[number].names, shards, self.number))
            for number in list(self.queue)[:due]
        ]
        keys = chain(reversed(self.free), count(len(self.live) + len(self.free)))
        for index, (piece, key) in enumerate(zip(pieces, keys, strict=False)):
            delta = Delta(self.number + index, oldest, start, next_offset, piece)
            records.append(("delta", key, dump_delta(delta)))
        return Plan(records, alone, due, len(pieces), oldest, credit if rest else 0.0)

    def follow(self, plan: Plan, shards: Shards) -> None:
        """Note that a plan's transaction has committed; products new to ``shards`` get a place in blocks."""
        for number in [self.queue.popleft() for _ in range(plan.blocks)]:
            self.blocks[number].mark = self.number
            self.queue.append(number)
        for _ in range(plan.deltas):
            key = self.free.pop() if self.free else len(self.live)
            self.live.append((self.number, key))
            self.number += 1
        self.credit = plan.credit
        self.place(shards.fresh, self.number - plan.deltas)
        shards.fresh.clear()
        while self.live and self.live[0][0] < plan.oldest:
            self.free.append(self.live.popleft()[1])

    def place(self, names: Iterable[str], mark: int) -> None:
        """Put products into blocks, at the end; deltas before ``mark`` are contained in their shards."""
        tail = self.blocks[-1] if self.blocks and self.blocks[-1].mark <= mark else None
        for name in names:
            if tail is None or len(tail.names) >= BLOCK or tail.characters >= MOST_BYTES // 4:
                tail = _Block([], mark)
                self.queue.append(len(self.blocks))
                self.blocks.append(tail)
            tail.names.append(name)
            tail.characters += len(name)


def _pieces(values: Values) -> tuple[list[Values], Values]:
    """Return values in pieces that make small enough deltas, and products whose values alone are too many."""
    # A value takes 11 characters in base64, a name's character 1 or 2, or 12 as an escaped pair of surrogates.
    names = "".join(values)
    size = len(names) * (2 if names.isascii() and names.isprintable() else 12) + 24 * len(values)
    if size + 11 * sum(map(len, values.values())) <= MOST_BYTES:
        return [values] if values else [], {}
    if len(values) == 1:
        return [], values
    each, half = iter(values.items()), len(values) // 2
    (some, alone), (more, others) = _pieces(dict(islice(each, half))), _pieces(dict(each))
    return some + more, {**alone, **others}
