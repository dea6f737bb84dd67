"""The outage breaker: when failures are not about single records, pause and probe instead of flooding retry.

It opens where, of the last 100 records or more, at least the set share failed temporarily, with ten different keys
or more among them; or where a probe of the dependency, if one is declared, fails after a temporary failure. The
batch that opens it is not committed: nothing is routed, no attempt is used up. While it is open the worker polls,
so it stays in its group, and after a pause that doubles it tries again: by the declared probe, or by handling ten
records. One of them that does not fail temporarily says that the dependency is back: the batch is committed as any
other.

It opens, too, where orders cannot be read since the schema registry is away, whatever is set; retry's as well.

Main goes by both, retry by a declared probe alone: what it reads has failed before, be there an outage or not.

A few bad records must not stop a pipeline for good where nothing else arrives: after eight probes with fewer than
ten records it lets them go their way, to retry or to the dead letters. Permanent errors say nothing of an outage.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kafka_orders.domain.policy import Retry
from kafka_orders.pipeline.batch import Batch, Routed

#: Fewer records than this are no outage, and neither are fewer keys.
LEAST_RECORDS, LEAST_KEYS = 100, 10
#: Handled at each probe.
PROBE_RECORDS = 10
#: Probes of fewer records, after which these go their way.
MOST_PROBES = 8
#: Seconds before the first probe, and at the most before any other.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

Probe = Callable[[], object]


@dataclass(slots=True)
class Breaker:
    """Decides; the worker does. ``share`` 0: it opens for a failing ``probe`` alone, if there is one."""

    share: float = 0.0
    max_retries: int = 0
    probe: Probe | None = None
    #: Why it is open; empty: it is closed.
    why: str = ""
    probes: int = 0
    opened_at: float = 0.0
    _is_unread: bool = False
    _next: float = 0.0
    _asked: float = float("-inf")
    #: Of the latest batches: records, temporary failures, some of their keys.
    _window: deque[tuple[int, int, frozenset[bytes | None]]] = field(default_factory=deque)

    @property
    def most(self) -> int | None:
        """Most records of the next batch; None: as many as ever."""
        return PROBE_RECORDS if self.why else None

    def waits(self, now: float) -> bool:
        """Say whether nothing may be handled now (monotonic seconds); asks the probe when it is time."""
        if not self.why:
            return False
        if now < self._next:
            return True
        if self.probe is None or self._is_unread:
            return False
        if failed := self._ask():
            self._failed(now, f"its probe fails: {failed}")
            return True
        self.why = ""
        return False

    def refuses(self, batch: Batch, now: float) -> bool:
        """Say whether a batch must not be committed; opens and closes by it."""
        if batch.away:
            self._cannot_read(batch.away, now)
            return True
        if self._is_unread:  # they can be read again; what becomes of them is judged as ever
            self.why, self._is_unread = "", False
        if not (self.share or self.probe):
            return False
        temporary = [one for one in batch.routed() if self._is_temporary(one)]
        if self.why:
            return self._probed(batch.size, len(temporary), now)
        why = self._asks_after(temporary, now) or self._shows(batch.size, temporary)
        if why:
            self.why, self.probes, self.opened_at = why, 0, now
            self._next = now + FIRST_PAUSE
            self._window.clear()
        return bool(why)

    def _cannot_read(self, why: str, now: float) -> None:
        """Open, whatever the share is, until orders can be read again: nothing can be known of them."""
        if self._is_unread:
            return self._failed(now, why)
        self.why, self.probes, self.opened_at, self._is_unread = why, 0, now, True
        self._next = now + FIRST_PAUSE
        return None

    def _is_temporary(self, one: Routed) -> bool:
        """One that is dead after all its retries was; of what kind its last error is, is not known here."""
        is_exhausted = self.max_retries > 0 and one.decision[0] >= self.max_retries
        return one.failure.stage == "process" and (isinstance(one.decision, Retry) or is_exhausted)

    def _probed(self, size: int, temporary: int, now: float) -> bool:
        gives_up = size < PROBE_RECORDS and self.probes + 1 >= MOST_PROBES
        if temporary < size or gives_up:
            self.why = ""
            return False
        self._failed(now, self.why)
        return True

    def _failed(self, now: float, why: str) -> None:
        self.probes += 1
        self.why, self._next = why, now + min(FIRST_PAUSE * 2**self.probes, LONGEST_PAUSE)

    def _asks_after(self, temporary: list[Routed], now: float) -> str:
        if not temporary or self.probe is None or now - self._asked < FIRST_PAUSE:
            return ""
        self._asked = now
        failed = self._ask()
        return f"its probe fails: {failed}" if failed else ""

    def _ask(self) -> str:
        try:
            if self.probe is not None:
                self.probe()
        except Exception as error:  # a stranger's code
            return f"{type(error).__name__}: {error}"
        return ""

    def _shows(self, size: int, temporary: list[Routed]) -> str:
        """Return what shows an outage in the latest batches; empty: nothing does."""
        if not self.share:
            return ""
        keys = frozenset(one.message.key() for one in temporary[: 2 * LEAST_RECORDS])
        self._window.append((size, len(temporary), keys))
        records = sum(one[0] for one in self._window)
        while records - self._window[0][0] >= LEAST_RECORDS:
            records -= self._window.popleft()[0]
        failed = sum(one[1] for one in self._window)
        distinct = len(frozenset().union(*(one[2] for one in self._window)))
        if records < LEAST_RECORDS or failed < self.share * records or distinct < LEAST_KEYS:
            return ""
        last = temporary[-1].failure.message if temporary else ""
        return f"{failed} of the last {records} records failed temporarily, the last with {last!r}"
