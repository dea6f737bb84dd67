"""Dead letters page by page, the newest first, with a bounded scan for each page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds

#: Letters that are looked at for one page at the most; where few of them are wanted, a page may be short.
MOST_LOOKED_AT = 20_000
#: Letters of a partition that are read at first.
_FIRST = 50


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters, and how to ask for those before them (``cursor``; empty: there are none).

    ``scan_complete``: all letters of the topic, down to its oldest, were looked at for this page and those before.
    """

    letters: list[Letter]
    cursor: str
    looked_at: int

    @property
    def scan_complete(self) -> bool:
        """There is nothing before this page."""
        return not self.cursor


def page(queue: Queue, wanted: Selection, limit: int, cursor: str = "") -> Page:
    """Return at most ``limit`` selected letters, the newest first, from ``cursor`` on.

    Raises:
        SettingsError: the cursor is none of ours.
        BrokerError: the topic does not exist, or may not be read.
    """
    bounds = queue.ends()
    low, found, looked, taken = _tops(bounds, cursor), dict[Slot, list[Letter]](), 0, list[Letter]()
    wanted, size = replace(wanted, limit=0), max(_FIRST, limit)
    while len(taken) < limit and looked < MOST_LOOKED_AT and (unread := _unread(bounds, low, found)):
        size = max(1, min(size, (MOST_LOOKED_AT - looked) // len(unread)))
        ranges = {slot: Bounds(max(bounds[slot].start, low[slot] - size), low[slot]) for slot in unread}
        for letter in queue.letters(wanted, ranges):
            found.setdefault(Slot(letter.id.topic, letter.id.partition), []).append(letter)
        low.update({slot: one.start for slot, one in ranges.items()})
        looked += queue.scan.looked_at
        size *= 4
        while len(taken) < limit and not _unread(bounds, low, found) and _take(found, taken):
            pass
    while len(taken) < limit and _take(found, taken):  # no more is looked at: the newest of what is there
        pass
    return Page(taken, _cursor(bounds, low, found), looked)


def _unread(
    bounds: Mapping[Slot, Bounds], low: Mapping[Slot, int], found: Mapping[Slot, list[Letter]]
) -> list[Slot]:
    """Return the partitions of which nothing is at hand, but more is there: it may be newer than all else."""
    return [slot for slot, one in bounds.items() if not found.get(slot) and low[slot] > one.start]


def _take(found: Mapping[Slot, list[Letter]], taken: list[Letter]) -> bool:
    """Take the newest off the ends of the partitions' lists; False: there is none."""
    if not (held := [one for one in found.values() if one]):
        return False
    taken.append(max(held, key=lambda one: one[-1].timestamp_ms).pop())
    return True


def _cursor(bounds: Mapping[Slot, Bounds], low: Mapping[Slot, int], left: Mapping[Slot, list[Letter]]) -> str:
    """Return where the next page begins: at the newest that was found and not taken, else at what was not read."""
    tops = {slot: left[slot][-1].id.offset + 1 if left.get(slot) else low[slot] for slot in bounds}
    if all(top <= bounds[slot].start for slot, top in tops.items()):
        return ""
    told = {str(slot.partition): top for slot, top in tops.items()}
    return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")


def _tops(bounds: Mapping[Slot, Bounds], cursor: str) -> dict[Slot, int]:
    """Return the first offset of each partition that is not asked for; retention may have passed it."""
    ends = {slot: one.end for slot, one in bounds.items()}
    if not cursor:
        return ends
    try:
        told = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        tops = {int(partition): int(top) for partition, top in told.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise SettingsError("this cursor is none of ours; begin without one") from None
    return {slot: min(max(bounds[slot].start, tops.get(slot.partition, end)), end) for slot, end in ends.items()}
