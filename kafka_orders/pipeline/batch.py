"""A gathered batch: outcomes as data, tentative until the transaction that holds them commits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka_orders.domain.errors import UncommittableError
from kafka_orders.domain.fingerprint import Failure
from kafka_orders.domain.headers import Headers, Origin, Replayed
from kafka_orders.domain.policy import Dead, Decision
from kafka_orders.domain.records import Slot
from kafka_orders.log.consumer import ConsumerLostError
from kafka_orders.log.message import Message
from kafka_orders.log.transaction import Offset

#: Orders of a batch kept for showing; the rest is only counted.
SAMPLE = 20

#: Key of the order and what its handler returned, for the output topic; its headers tell its format and its trace.
Result = tuple[bytes | None, bytes, Headers]


class Counted(NamedTuple):
    """A processed order, kept for showing."""

    order: Mapping[str, Any]
    product: str
    value: float


class Routed(NamedTuple):
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
    results: list[Result] = field(default_factory=list)
    #: Replays of dead letters that have come to a good end.
    resolved: list[Replayed] = field(default_factory=list)
    #: Of its first record, in epoch ms: when the order was written, and when it came to this topic; -1: unknown.
    written_ms: int = -1
    came_ms: int = -1

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
    #: The record that was handled last.
    latest: tuple[Slot, int] | None = None
    #: Why a record cannot be read now, which is not its fault; the batch is dropped then.
    away: str = ""
    #: Time that decoding and handling took.
    busy_seconds: float = 0.0

    def part(self, slot: Slot, offset: int) -> SlotBatch:
        """Return the part of ``slot``; ``offset`` is that of the next record.

        Raises:
            ConsumerLostError: the client delivered records again; build a new consumer.
        """
        found = self.slots.get(slot)
        if found is None:
            found = self.slots[slot] = SlotBatch(offset, offset)
        elif offset < found.next_offset:
            raise went_back(slot, offset, found.next_offset)
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

    def results(self) -> Iterator[Result]:
        """Yield the results of the batch's handlers, in the order of each partition."""
        return (result for part in self.slots.values() for result in part.results)

    def resolved(self) -> Iterator[Replayed]:
        """Yield the replays of dead letters that this batch brings to a good end."""
        return (replay for part in self.slots.values() for replay in part.resolved)

    def starts(self) -> frozenset[tuple[Slot, int]]:
        """Return where each part begins: the identity of a batch that is tried again."""
        return frozenset((slot, part.first_offset) for slot, part in self.slots.items())


def went_back(slot: Slot, offset: int, expected: int) -> ConsumerLostError:
    """Return what to raise where a record is delivered that was handled before: counting it would double it.

    Offsets may have gaps (ends of transactions take some), so that a step is too large cannot be seen.
    """
    return ConsumerLostError(f"{slot} was delivered from offset {offset} on, expected was {expected} or later")


class BatchLimit:
    """How many records a transaction may hold: halved while a batch cannot be committed for its records."""

    #: Refusals at the same offsets before the batch is halved.
    patience = 3

    def __init__(self, full: int) -> None:
        self._full = self.current = full
        #: How often what begins there was refused, or took too long; forgotten once a commit has moved past it.
        self._refusals: dict[tuple[Slot, int], int] = {}
        self._slow: dict[tuple[Slot, int], int] = {}

    def size(self, owned: Container[Slot]) -> int:
        """Return how many records the next batch may hold, where these partitions are ours.

        What was refused in a partition that has gone to another worker is that one's trouble; it may come back.
        """
        noted = (slot for counts in (self._refusals, self._slow) for slot, _ in counts)
        return self.current if any(slot in owned for slot in noted) else self._full

    def succeeded(self, batch: Batch) -> None:
        """Tell that a batch was committed. What was refused before counts on until it is committed itself."""
        for counts in (self._refusals, self._slow):
            for slot, offset in list(counts):
                if slot in batch.slots and offset < batch.slots[slot].next_offset:
                    del counts[slot, offset]
        if not self._refusals and not self._slow:
            self.current = self._full

    def cut(self, batch: Batch) -> int:
        """Return how many failure headers to leave out: a single record that was refused is made to fit."""
        return max(self._refusals.get(start, 0) for start in batch.starts()) if batch.size == 1 else 0

    def refused(self, batch: Batch, why: str) -> None:
        """Tell that the broker refused a batch for what its records are; ``why`` ends with what to do about it.

        Raises:
            UncommittableError: a single record was refused for good.
        """
        starts = batch.starts()
        times = 1 + max(self._refusals.get(start, 0) for start in starts)
        self._refusals.update(dict.fromkeys(starts, times))
        if times < self.patience:
            return
        if batch.size == 1:
            raise _uncommittable(*next(iter(starts)), why)
        self.current = max(1, min(self.current, batch.size) // 2)
        self._refusals.update(dict.fromkeys(starts, 0))

    def outlasted(self, batch: Batch, why: str) -> None:
        """Tell that the last record of a batch took longer than the group waits: it goes alone from now on.

        Raises:
            UncommittableError: it did so for good.
        """
        if batch.latest is None:
            return
        self._slow[batch.latest] = self._slow.get(batch.latest, 0) + 1
        if self._slow[batch.latest] >= self.patience:
            raise _uncommittable(*batch.latest, why)
        self.current = 1


def _uncommittable(slot: Slot, offset: int, why: str) -> UncommittableError:
    return UncommittableError(
        f"record {slot}/{offset} cannot be committed: {why}, and start again. It is not lost: it stays in"
        f" {slot.topic}, and nothing behind it is handled."
    )
