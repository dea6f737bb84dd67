"""State records of many products at once: what a transaction writes that changes many shards.

A *delta* holds the values a transaction counted, a *block* whole shards. A product's state is its newest whole
shard, be it a record of its own or in a block, and the deltas behind it: a shard covers all offsets before its
``next_offset``, a delta those from ``from`` to its ``next_offset``, and both end where transactions end. So a
delta is contained in a shard, or lies wholly behind it.

Deltas are folded into the shards in memory later (``shards.py``), and for what was folded blocks are written,
always those that were not written for the longest time, half as many shards as were folded. So what has to be
replayed is bounded: what is not folded yet, and twice the state.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from math import isfinite
from typing import Any

from kafka_orders.domain.records import VERSION, load_fields, unreadable, whole
from kafka_orders.domain.shards import Delta, Shards, array_of, doubles, parts_of, rows_in

#: Most bytes of a delta; a topic takes records of 1 MB unless told otherwise.
MOST_BYTES = 256 * 1024
#: Products in a block.
BLOCK = 1_000
#: Deltas that may have to be replayed, however small they are.
MOST_LIVE = 1_000
#: Shards written in blocks for each value folded.
_SHARE = 0.5
_NUMBERS = ("number", "oldest", "from", "next_offset")

Values = Mapping[str, Sequence[float]]


def load_delta(value: bytes) -> Delta:
    """Return the delta of a record.

    Raises:
        RefusedError: the record is from a newer version, or is not a delta at all.
    """
    fields = load_fields(value)
    try:
        products, figures = fields["products"], doubles(b64decode(fields["values"], validate=True)).tolist()
        names = products.split("\n") if isinstance(products, str) else list(map(str, products))
        sizes = fields["counts"]
        counts = b64decode(sizes, validate=True) if isinstance(sizes, str) else list(map(whole, sizes))
        if sum(counts) != len(figures) or not all(counts) or not all(map(isfinite, figures)):
            raise ValueError(counts)
        each = iter(figures)
        values = {name: list(islice(each, number)) for name, number in zip(names, counts, strict=True)}
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
    blocks: int
    #: Number of products, and the record.
    deltas: list[tuple[int, bytes]]
    oldest: int


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
    #: The next delta's, and the first one's that is not folded.
    number: int = 0
    folded: int = 0
    #: Deltas that are not folded yet, with the number of their products.
    owed: deque[tuple[int, bytes]] = field(default_factory=deque)
    #: Shards that may be written in blocks for what was folded.
    credit: float = 0.0

    @classmethod
    def restored(
        cls, marks: Mapping[int, tuple[int, Sequence[str]]], deltas: Mapping[int, int], oldest: int
    ) -> Journal:
        """Return the journal of a changelog: marks and names of its blocks, keys of its deltas by number."""
        held = [marks.get(number, (oldest, ())) for number in range(max(marks, default=-1) + 1)]
        made = cls([_Block(list(inside), mark, sum(map(len, inside))) for mark, inside in held])
        made.queue.extend(range(len(held)))
        for number, key in sorted(deltas.items()):
            made.live.append((number, key)) if number >= oldest else made.free.append(key)
        made.number = max([*(mark for mark, _ in held), *(number + 1 for number in deltas)], default=0)
        return made

    def settle(self) -> None:
        """Note that all deltas are folded; put the blocks in order."""
        self.folded = self.number
        self.queue = deque(sorted(self.queue, key=lambda number: (self.blocks[number].mark, number)))

    def plan(self, values: Values, shards: Shards, start: int, next_offset: int) -> Plan:
        """Return what a transaction that counts ``values`` writes; nothing of it has happened yet."""
        due = list(self._due(2 * len(values) + BLOCK))
        oldest = self.blocks[self.queue[len(due)]].mark if len(due) < len(self.queue) else self.folded
        records = [("block", one, dump_block(self.blocks[one].names, shards, self.folded)) for one in due]
        head = f'{{"v":{VERSION},"number":%d,"oldest":{oldest},"from":{start},"next_offset":{next_offset},'
        deltas = [
            (many, (head % number + body).encode())
            for number, (many, body) in enumerate(_bodies(values), self.number)
        ]
        keys = chain(reversed(self.free), count(len(self.live) + len(self.free)))
        records += [("delta", key, delta) for key, (_, delta) in zip(keys, deltas, strict=False)]
        return Plan(records, len(due), deltas, oldest)

    def _due(self, most: int) -> Iterator[int]:
        credit = min(self.credit, most)
        for number in self.queue:
            block = self.blocks[number]
            credit -= len(block.names)
            if credit < 0 and block.mark > self.folded - MOST_LIVE:
                return
            yield number

    def follow(self, plan: Plan) -> None:
        """Note that a plan's transaction has committed."""
        for number in [self.queue.popleft() for _ in range(plan.blocks)]:
            self.credit = max(0.0, self.credit - len(self.blocks[number].names))
            self.blocks[number].mark = self.folded
            self.queue.append(number)
        for number, delta in plan.deltas:
            self.owed.append((number, delta))
            key = self.free.pop() if self.free else len(self.live)
            self.live.append((self.number, key))
            self.number += 1
        while self.live and self.live[0][0] < plan.oldest:
            self.free.append(self.live.popleft()[1])

    def fold(self, delta: Delta, names: list[str]) -> None:
        """Note that a delta was folded; ``names`` of products in no block yet get a place, and are cleared."""
        self.credit += _SHARE * len(delta.values)
        self.place(names, delta.number)
        self.folded = delta.number + 1
        names.clear()

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


def _bodies(values: Values) -> list[tuple[int, str]]:
    """Return the fields of deltas small enough, with the number of products; a long name alone may not be."""
    body = _body(values)
    if len(body) <= MOST_BYTES or len(values) == 1:
        return [(len(values), body)]
    each = iter(values.items())
    return _bodies(dict(islice(each, len(values) // 2))) + _bodies(dict(each))


def _body(values: Values) -> str:
    names, separate = "\n".join(values), json.dumps
    # Names in one text where no name has the character between them: a third of the time of a list.
    products = separate(names if names.count("\n") == len(values) - 1 else list(values))
    sizes = list(map(len, values.values()))
    counts = separate(b64encode(bytes(sizes)).decode() if max(sizes) < 256 else sizes)
    figures = b64encode(array_of(list(chain.from_iterable(values.values()))).tobytes()).decode()
    return f'"products":{products},"counts":{counts},"values":"{figures}"}}'
