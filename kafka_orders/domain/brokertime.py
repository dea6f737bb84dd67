"""The broker's clock, as far as it can be known without trusting this machine's."""

from __future__ import annotations

from collections import deque


class BrokerTime:
    """A lower bound of the broker's time, carried on by the monotonic clock.

    A record the broker appended at T, seen at monotonic second m, proves that its clock had reached T
    by then. So ``T - m`` of any sighting is at most the true difference of the two clocks, and the
    largest of the recent ones is the best known: an estimate that is never ahead. A retry can
    therefore be late by the time a report takes, but not early, whatever this machine's clock says.
    """

    def __init__(self, window: int = 16) -> None:
        self._differences: deque[float] = deque(maxlen=window)
        self._best = float("-inf")
        #: Known from the worker's own acknowledged records, not only from old ones it read.
        self.is_fresh = False

    def observe(self, append_ms: int, monotonic: float, *, fresh: bool = False) -> None:
        """Take a sighting: the broker appended a record at ``append_ms`` (epoch), seen at ``monotonic``.

        Only the newest sightings count, so that a broker clock that is set back is followed.
        """
        difference = append_ms - monotonic * 1000
        self.is_fresh = self.is_fresh or fresh
        if fresh or difference > self._best:
            self._differences.append(difference)
            self._best = max(self._differences)

    def now(self, monotonic: float) -> float:
        """Return the broker's time in epoch milliseconds, or less; minus infinity when nothing is known."""
        return self._best + monotonic * 1000
