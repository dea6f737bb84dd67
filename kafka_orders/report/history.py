"""How the pipeline came here: samples over time, ever coarser, of a bounded number."""

from __future__ import annotations

from kafka_orders.report.model import Sample

#: Samples kept; when there are more, every second one goes.
MOST = 720
#: Finest distance of two samples in milliseconds.
FINEST_MS = 1_000
#: Rates are taken over this time in milliseconds.
_RATE_MS = 5_000


class History:
    """Samples in the order of their times, and behind them the newest one, whatever its distance."""

    def __init__(self, width_ms: int = FINEST_MS) -> None:
        self._width = max(FINEST_MS, width_ms)
        self._kept: list[Sample] = []
        self._newest: Sample | None = None

    def wants(self, at_ms: int) -> bool:
        """Say whether a sample of that time would be kept."""
        return not self._kept or at_ms >= self._kept[-1].at_ms + self._width

    def add(self, sample: Sample) -> None:
        """Take a sample; one that comes too soon is only the newest, until the next."""
        self._newest = sample
        if self.wants(sample.at_ms):
            self._kept.append(sample)
        if len(self._kept) >= MOST:
            self._kept = self._kept[::2]
            self._width *= 2

    def samples(self) -> tuple[Sample, ...]:
        """Return all, the oldest first."""
        if self._newest is None or self._newest.at_ms <= self._kept[-1].at_ms:
            return tuple(self._kept)
        return (*self._kept, self._newest)


class Rate:
    """How fast a counter grows, per second, over the last seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []

    def see(self, at_ms: int, count: int) -> float:
        """Return the rate with this reading, 0.0 for the first; a counter that went back begins anew."""
        if self._seen and (count < self._seen[-1][1] or at_ms <= self._seen[-1][0]):
            self._seen.clear()
        self._seen.append((at_ms, count))
        while len(self._seen) > 2 and self._seen[1][0] <= at_ms - _RATE_MS:
            del self._seen[0]
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return (last - first) * 1000 / (now - began) if now > began else 0.0
