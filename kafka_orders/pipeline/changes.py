"""What a batch would make of the state: the records to write, and the truth once they are committed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from kafka_orders.domain.averages import Tally, merge_all
from kafka_orders.domain.bulk import Journal, Plan
from kafka_orders.domain.records import Progress, Slot, bulk_key, dump_shard, shard_key
from kafka_orders.domain.shards import Shards, shard_of


class Change(Protocol):
    """What a batch would make of one slot's shards: records to write, and the truth once they are committed."""

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values."""

    def apply(self) -> None:
        """Make it the truth."""


@dataclass(frozen=True, slots=True)
class Few:
    """Changed shards, each with a record of its own."""

    slot: Slot
    shards: Shards
    rows: dict[str, bytes]
    batch: list[Tally]

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield a record for each shard."""
        for product, row in self.rows.items():
            yield shard_key(self.slot, product), dump_shard(*shard_of(row))

    def apply(self) -> None:
        """Make it the truth."""
        self.shards.rows.update(self.rows)
        self.shards.overall = merge_all((self.shards.overall, *self.batch))


@dataclass(frozen=True, slots=True)
class Many:
    """Blocks and deltas; what is in a delta is only added up when it is folded."""

    slot: Slot
    shards: Shards
    journal: Journal
    plan: Plan
    counted: Tally

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield blocks, then deltas."""
        for kind, number, value in self.plan.records:
            yield bulk_key(self.slot, kind, number), value

    def apply(self) -> None:
        """Make it the truth."""
        self.shards.overall = self.shards.overall.merge(self.counted)
        self.journal.follow(self.plan)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch would make of the state; the truth once its transaction has committed."""

    progress: dict[Slot, Progress] = field(default_factory=dict)
    shards: dict[Slot, Change] = field(default_factory=dict)
