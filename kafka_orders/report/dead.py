"""The dead letters, counted: by status, kind and fingerprint, kept up to date letter by letter."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappush, heapreplace

from kafka_orders.deadletters.groups import MOST_DISTINCT, Group, looks_like
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.watch import printable
from kafka_orders.domain.order import Decode
from kafka_orders.domain.standing import OPEN, STATUSES, LetterId, Note, Standing
from kafka_orders.report.model import Failure, Kind, LetterGroup, Letters

#: Groups told of, the largest first, and latest failures.
MOST_GROUPS = 100
MOST_FAILURES = 20
#: Of a message.
_SHOWN = 200
#: Telling of groups may take this part of the time.
_SHARE = 0.05


@dataclass(slots=True)
class _Line:
    """The letters of one partition, 30 bytes each: offset, times, number of the group, status, whether retried."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    failed: array[int] = field(default_factory=lambda: array("q"))
    retried: array[int] = field(default_factory=lambda: array("B"))
    groups: array[int] = field(default_factory=lambda: array("I"))
    statuses: array[int] = field(default_factory=lambda: array("B"))

    def at(self, offset: int) -> int | None:
        place = bisect_left(self.offsets, offset)
        return place if place < len(self.offsets) and self.offsets[place] == offset else None

    def drop(self, count: int) -> None:
        for one in (self.offsets, self.times, self.failed, self.retried, self.groups, self.statuses):
            del one[:count]


class Dead:
    """All dead letters of a topic. Feed :meth:`add`, :meth:`moved` and :meth:`removed` with what happens."""

    def __init__(self, decode: Decode, group_by: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._decode, self._group_by, self._clock = decode, group_by, clock
        self._lines: defaultdict[int, _Line] = defaultdict(_Line)
        self._groups: list[Group] = []
        self._numbers: dict[str, int] = {}
        self._statuses: Counter[str] = Counter()
        self._kinds: Counter[tuple[str, str]] = Counter()
        #: A heap of the newest, whatever the order in which partitions are read.
        self._latest: list[tuple[tuple[int, LetterId], Failure]] = []
        self._changes = 0
        self._last_told: tuple[tuple[LetterGroup, ...], int] = (), 0
        self._told_state: tuple[int, dict[str, Note]] = 0, {}
        self._told_at, self._telling = float("-inf"), 0.0

    def add(self, letter: Letter) -> None:
        """Take a new letter; those of one partition come in their order, and once."""
        name, line, status = letter.id, self._lines[letter.id.partition], letter.standing.status
        if line.offsets and name.offset <= line.offsets[-1]:
            return
        number = self._numbers.get(letter.fingerprint)
        if number is None:
            number = self._numbers[letter.fingerprint] = len(self._groups)
            self._groups.append(Group.of(letter))
        group, exhausted = self._groups[number], self._groups[number].exhausted
        group.add(letter, self._decode, self._group_by)
        line.offsets.append(name.offset)
        line.times.append(letter.timestamp_ms)
        line.failed.append(letter.failed_at_ms)
        line.retried.append(group.exhausted - exhausted)
        line.groups.append(number)
        line.statuses.append(STATUSES.index(status))
        self._statuses[status] += 1
        self._kinds[group.fqcn or "unknown", group.stage or "unknown"] += 1
        key = letter.failed_at_ms, name
        if len(self._latest) < MOST_FAILURES:
            heappush(self._latest, (key, _failure(letter)))
        elif key > self._latest[0][0]:
            heapreplace(self._latest, (key, _failure(letter)))
        self._changes += 1

    def moved(self, name: LetterId, standing: Standing) -> None:
        """Take what has become of a letter; of one that is not known yet, its record will tell."""
        line = self._lines[name.partition]
        if (place := line.at(name.offset)) is not None:
            self._count(line, place, -1)
            line.statuses[place] = STATUSES.index(standing.status)
            self._count(line, place, +1)

    def removed(self, partition: int, start: int) -> None:
        """Forget what retention has removed: all before offset ``start``."""
        line = self._lines[partition]
        gone = bisect_left(line.offsets, start)
        for place in range(gone):
            self._count(line, place, -1)
            group = self._groups[line.groups[place]]
            self._kinds[group.fqcn or "unknown", group.stage or "unknown"] -= 1
            group.remove(line.failed[place], retried=bool(line.retried[place]))
            if not group.count:
                self._numbers.pop(group.fingerprint, None)  # what dies of it again is a new group
        samples = {number: self._groups[number].sample for number in set(line.groups[:gone])}
        moved = [number for number, one in samples.items() if one.partition == partition and one.offset < start]
        line.drop(gone)
        for number in moved:
            self._sample_anew(number)

    def _sample_anew(self, number: int) -> None:
        """Name a letter of the group that is still there."""
        group = self._groups[number]
        for partition, line in self._lines.items():
            with suppress(ValueError):
                place = line.groups.index(number)
                group.sample = LetterId(group.sample.topic, partition, line.offsets[place])
                return

    def _count(self, line: _Line, place: int, change: int) -> None:
        status, group = STATUSES[line.statuses[place]], self._groups[line.groups[place]]
        self._changes += 1
        self._statuses[status] += change
        group.statuses[status] = group.statuses.get(status, 0) + change

    def letters(self, notes: Mapping[str, Note]) -> Letters:
        """Return the figures."""
        told, count = self._groups_told(notes)
        statuses = {name: count for name, count in self._statuses.items() if count}
        total = sum(len(line.offsets) for line in self._lines.values())
        kinds = tuple(Kind(printable(name), stage, count) for (name, stage), count in self._kinds.items())
        return Letters(total, statuses, self._oldest_open(), kinds, told, count)

    def _groups_told(self, notes: Mapping[str, Note]) -> tuple[tuple[LetterGroup, ...], int]:
        """Return the groups as told last, or anew if they changed: trends over months cost, so not too often."""
        state, began = (self._changes, dict(notes)), self._clock()
        if state != self._told_state and began - self._told_at >= self._telling / _SHARE:
            present = sorted((one for one in self._groups if one.count), key=lambda one: -one.count)
            groups = tuple(self._told(one, present, notes) for one in present[:MOST_GROUPS])
            self._last_told, self._told_state, self._told_at = (groups, len(present)), state, self._clock()
            self._telling = self._told_at - began
        return self._last_told

    def failures(self) -> tuple[Failure, ...]:
        """Return the latest, the newest first."""
        return tuple(failure for _, failure in sorted(self._latest, reverse=True))

    def _oldest_open(self) -> int | None:
        wanted = STATUSES.index(OPEN)
        # Each partition's letters are in the order of their times, so its first open one is its oldest.
        places = ((line, line.statuses.tobytes().find(wanted)) for line in self._lines.values())
        return min((line.times[place] for line, place in places if place >= 0), default=None)

    def _told(self, group: Group, groups: list[Group], notes: Mapping[str, Note]) -> LetterGroup:
        note = notes.get(group.fingerprint)
        statuses = {name: count for name, count in group.statuses.items() if count}
        return LetterGroup(
            printable(group.fingerprint), printable(group.fqcn), printable(group.message[:_SHOWN]), group.stage,
            group.count, statuses.get(OPEN, 0), statuses, group.first_ms, group.last_ms, group.trend,
            min(len(group.keys), MOST_DISTINCT), min(len(group.products), MOST_DISTINCT),
            looks_like(group, groups), str(group.sample), "" if note is None else printable(note.text),
        )  # fmt: skip


def _failure(letter: Letter) -> Failure:
    return Failure(
        str(letter.id), letter.failed_at_ms, printable(letter.error_class), printable(letter.error[:_SHOWN]),
        printable(letter.key), printable(letter.fingerprint),
    )  # fmt: skip
