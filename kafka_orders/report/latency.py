"""From an order's own time to the commit that counted it: one order of each of the latest transactions."""

from __future__ import annotations

import random
from collections import deque

from kafka_orders.domain.records import Slot
from kafka_orders.report.model import Latency

#: Samples that the percentiles are of.
_MOST = 200


class Latencies:
    """Picks an order at random out of what transactions handled, so that none of them is preferred."""

    def __init__(self) -> None:
        self._found: deque[int] = deque(maxlen=_MOST)
        self._spans: dict[Slot, tuple[int, int, int]] = {}

    def committed(self, slot: Slot, start: int, end: int, at_ms: int) -> None:
        """Note that a transaction handled ``start`` up to ``end`` of a partition, and when it was written."""
        if end > start:
            self._spans[slot] = start, end, at_ms

    def pick(self) -> tuple[Slot, int, int] | None:
        """Return partition and offset of the order to look at, and when it was counted; forget the others."""
        if not self._spans:
            return None
        slot, (start, end, at_ms) = random.choice(list(self._spans.items()))  # noqa: S311  no secret
        self._spans.clear()
        return slot, random.randrange(start, end), at_ms  # noqa: S311

    def found(self, milliseconds: int) -> None:
        """Take a sample; below zero two clocks disagree, which is no time at all."""
        self._found.append(max(0, milliseconds))

    def latency(self) -> Latency:
        """Return the percentiles of the samples."""
        held = sorted(self._found)
        if not held:
            return Latency()
        return Latency(
            len(held), *(float(held[min(len(held) - 1, len(held) * part // 100)]) for part in (50, 95, 99))
        )
