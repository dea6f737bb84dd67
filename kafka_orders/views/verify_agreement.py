"""What a walk along each order's chain cannot see: state, offsets and origins that disagree. Pure.

The audit trusts two things: that the state is the one this pipeline's groups wrote, and that every link
hangs on an order. Without these checks a lost averages topic would pass as "not read yet", and a dead
letter of an order that never was would pass as nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafka_orders.domain.headers import Link
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.views.audit import shortened

Offsets = Mapping[Slot, int | None]


@dataclass(frozen=True, slots=True)
class Agreement:
    """One source topic, its group, and the group's committed offsets around the moment of the state.

    State and offset are written in one transaction, so what was committed ``before`` the state was read
    is in it, and what is in it was committed by the time of ``after``.
    """

    topic: str
    group: str
    partitions: int
    before: Offsets
    after: Offsets

    def findings(self, states: Mapping[Slot, Progress]) -> list[str]:
        """Return where the state is another's, is lost, or disagrees with the committed offsets."""
        slots = {Slot(self.topic, partition) for partition in range(self.partitions)}
        slots |= {slot for slot in states if slot.topic == self.topic}
        return [f"{slot}: {told}" for slot in sorted(slots) if (told := self._of(slot, states.get(slot)))]

    def _of(self, slot: Slot, state: Progress | None) -> str:
        before, after = self.before.get(slot), self.after.get(slot)
        if state is None:
            if not before:  # committed offset 0 is no progress: nothing was counted that could be lost
                return ""
            return (
                f"group {self.group} has committed offset {before}, but there is no state: what it counted"
                " is in no average"
            )
        if slot.partition >= self.partitions:
            return (
                f"the state counts it up to offset {state.next_offset}, but {self.topic} has only"
                f" {self.partitions} partitions: it was deleted and created again"
            )
        if state.group != self.group:
            return f"the state was written by group {state.group}, not by {self.group}"
        if before is not None and before > state.next_offset:
            return (
                f"group {self.group} has committed offset {before}, but the state ends at {state.next_offset}:"
                f" what lies between is in no average ({before - state.next_offset} offsets)"
            )
        if after is not None and after < state.next_offset:
            return (
                f"the state counts up to offset {state.next_offset}, but group {self.group} has committed"
                f" {after}: what lies between would be counted twice ({state.next_offset - after} offsets)"
            )
        return ""


class Origins:
    """The first hops of a topic's orders, each of which must find its order.

    Feed the links of `orders_retry` and `orders_dlq`, then every record that is read. ``read`` are the
    bounds of what is read; ``ends`` the ends taken after all links were in the log, so that an origin at
    or beyond them never was an order. Between the two lie orders younger than this reading: left aside.
    """

    def __init__(self, topic: str, read: Mapping[Slot, Bounds], ends: Mapping[Slot, Bounds]) -> None:
        self._topic, self._read, self._ends = topic, read, ends
        self._alone: set[tuple[Slot, int]] = set()

    def links(self, retries: Iterable[Link], dead: Iterable[Link]) -> None:
        """Tell of all links; only first hops count here, the audit checks the later ones."""
        for first, links in ((1, retries), (0, dead)):
            for topic, partition, offset, count, replay in links:
                slot, is_first = Slot(topic, partition), count == first and not replay
                if topic == self._topic and is_first and not self._is_aside(slot, offset):
                    self._alone.add((slot, offset))

    def _is_aside(self, slot: Slot, offset: int) -> bool:
        """Say whether an order was removed by retention, or is younger than this reading."""
        if slot not in self._read or slot not in self._ends:
            return False
        return offset < self._read[slot].start or self._read[slot].end <= offset < self._ends[slot].end

    def record(self, slot: Slot, offset: int) -> None:
        """Tell of an order that is there."""
        self._alone.discard((slot, offset))

    def findings(self) -> list[str]:
        """Return links whose order does not exist; ask when all orders were read."""
        told = "waits for a retry or is dead, but there is no such order"
        return shortened([f"order {slot}/{offset} {told}" for slot, offset in sorted(self._alone)])
