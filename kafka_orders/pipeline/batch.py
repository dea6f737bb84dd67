"""A gathered batch: outcomes as data, tentative until the transaction that holds them commits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka_orders.domain.errors import UncommittableError
from kafka_orders.domain.fingerprint import Failure
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.policy import Dead, Decision
from kafka_orders.domain.records import Slot
from kafka_orders.log.message import Message
from kafka_orders.log.transaction import Offset

#: Orders of a batch kept for showing; the rest is only counted.
SAMPLE = 20


@dataclass(frozen=True, slots=True)
class Counted:
    """A processed order, kept for showing."""

    order: Mapping[str, Any]
    product: str
    value: float


@dataclass(frozen=True, slots=True)
class Routed:
    """A failed record and where it goes."""

    message: Message
    origin: Origin
    decision: Decision
    failure: Failure
    first_failed_at_ms: int
    failed_at_ms: int

    @property
    def is_dead(self) -> bool:
        """The record goes to the dead letter queue."""
        return isinstance(self.decision, Dead)


@dataclass(slots=True)
class SlotBatch:
    """What a batch holds of one source partition."""

    first_offset: int
    next_offset: int
    values: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    routed: list[Routed] = field(default_factory=list)
    skipped: int = 0
    #: Key of the order and what its handler returned, for the output topic.
    results: list[tuple[bytes | None, bytes]] = field(default_factory=list)

    @property
    def processed(self) -> int:
        """Records whose value is to be counted."""
        return sum(map(len, self.values.values()))


@dataclass(slots=True)
class Batch:
    """Everything between two commits. A rebalance drops what belongs to leaving partitions."""

    slots: dict[Slot, SlotBatch] = field(default_factory=dict)
    size: int = 0
    sample: list[Counted] = field(default_factory=list)

    def part(self, slot: Slot, offset: int) -> SlotBatch:
        """Return the part of ``slot``; ``offset`` is that of its first record."""
        found = self.slots.get(slot)
        if found is None:
            found = self.slots[slot] = SlotBatch(offset, offset)
        return found

    def drop(self, slots: Iterable[Slot]) -> None:
        """Forget what belongs to partitions that leave: their next owner handles it again."""
        for slot in slots:
            part = self.slots.pop(slot, None)
            if part is not None:
                self.size -= part.processed + len(part.routed) + part.skipped
                self.sample.clear()

    def offsets(self) -> list[Offset]:
        """Return the positions to commit, from own bookkeeping: last handled offset + 1."""
        return [Offset(slot.topic, slot.partition, part.next_offset) for slot, part in self.slots.items()]

    def routed(self) -> list[Routed]:
        """Return all failures of the batch."""
        return [routed for part in self.slots.values() for routed in part.routed]

    def results(self) -> Iterator[tuple[bytes | None, bytes]]:
        """Yield the results of the batch's handlers, in the order of each partition."""
        return (result for part in self.slots.values() for result in part.results)

    def starts(self) -> frozenset[tuple[Slot, int]]:
        """Return where each part begins: the identity of a batch that is tried again."""
        return frozenset((slot, part.first_offset) for slot, part in self.slots.items())


class BatchLimit:
    """How many records a transaction may hold: halved while the broker refuses a batch for its records."""

    #: Refusals at the same offsets before the batch is halved.
    patience = 3

    def __init__(self, full: int) -> None:
        self._full = self.current = full
        self._starts: frozenset[tuple[Slot, int]] = frozenset()
        self._refusals = 0
        #: Failure headers to leave out: a single record that was refused for its size is made to fit.
        self.cut = 0

    def succeeded(self) -> None:
        """Tell that a batch was committed."""
        self.current, self._refusals, self.cut = self._full, 0, 0

    def refused(self, batch: Batch, why: str, *, for_size: bool = False) -> None:
        """Tell that a batch could not be committed for what its records are, or how long they took.

        ``why`` ends with what to do about it.

        Raises:
            UncommittableError: a single record was refused for good.
        """
        same = bool(batch.starts() & self._starts)
        self._starts, self._refusals = batch.starts(), self._refusals + 1 if same else 1
        self.cut = self._refusals if for_size and batch.size == 1 else 0
        if self._refusals < self.patience:
            return
        if batch.size == 1:
            (slot, offset), *_ = self._starts
            raise UncommittableError(
                f"record {slot}/{offset} cannot be committed: {why}, and start again. It is not lost: it stays"
                f" in {slot.topic}, and nothing behind it is handled."
            )
        self.current, self._refusals = max(1, min(self.current, batch.size) // 2), 0
