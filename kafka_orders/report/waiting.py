"""The retry queue: how many records wait, for which attempt, until when."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field

from kafka_orders.domain.records import Slot
from kafka_orders.report.model import Band


@dataclass(slots=True)
class _Line:
    """The records of one partition that are not handled: 17 bytes each."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    due: array[int] = field(default_factory=lambda: array("q"))
    attempts: array[int] = field(default_factory=lambda: array("B"))

    def drop(self, count: int) -> None:
        for one in (self.offsets, self.due, self.attempts):
            del one[:count]


class Waiting:
    """Records of the retry topic that no retry has handled yet."""

    def __init__(self) -> None:
        self._lines: defaultdict[Slot, _Line] = defaultdict(_Line)

    def add(self, slot: Slot, offset: int, due_ms: int, attempt: int) -> None:
        """Take a record; those of one partition come in their order, and once."""
        line = self._lines[slot]
        if line.offsets and offset <= line.offsets[-1]:
            return
        line.offsets.append(offset)
        line.due.append(due_ms)
        line.attempts.append(min(255, attempt))

    def handled(self, slot: Slot, next_offset: int) -> None:
        """Forget what is handled: all before ``next_offset``."""
        line = self._lines[slot]
        line.drop(bisect_left(line.offsets, next_offset))

    def of(self, slot: Slot, now_ms: int) -> tuple[int, int, float]:
        """Return how many records of a partition wait, how many are not due yet, how late the latest is, in s."""
        due = self._lines[slot].due
        late = max(0, now_ms - min(due, default=now_ms)) / 1000
        return len(due), sum(one > now_ms for one in due), late

    def bands(self, now_ms: int) -> tuple[Band, ...]:
        """Return what waits for each attempt."""
        counts: defaultdict[int, int] = defaultdict(int)
        due: defaultdict[int, int] = defaultdict(int)
        soonest: dict[int, int] = {}
        for line in self._lines.values():
            for attempt, at in zip(line.attempts, line.due, strict=True):
                counts[attempt] += 1
                due[attempt] += at <= now_ms
                soonest[attempt] = min(at, soonest.get(attempt, at))
        return tuple(Band(one, counts[one], due[one], soonest[one]) for one in sorted(counts))

    def __len__(self) -> int:
        return sum(len(line.offsets) for line in self._lines.values())
