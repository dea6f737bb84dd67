"""An alarm for the age of a batch: looking at it costs nothing, looking at the clock 70 ns a record."""

from __future__ import annotations

import threading
import time


class Alarm:
    """Rings once after each :meth:`set`, on time to about a millisecond; its thread sleeps in between."""

    def __init__(self) -> None:
        #: The time is over. Read after every record, so it is a plain attribute.
        self.rung = False
        self._at = 0.0
        self._closed = False
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def set(self, seconds: float) -> None:
        """Ring ``seconds`` from now. What was set before may still ring once: that only makes a batch small."""
        self._at, self.rung = time.monotonic() + seconds, seconds <= 0
        if self.rung:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="batch-alarm", daemon=True)
            self._thread.start()
        self._wanted.set()

    def _keep(self) -> None:
        while self._wanted.wait() and not self._closed:
            self._wanted.clear()
            while (left := self._at - time.monotonic()) > 0:
                time.sleep(left)
            self.rung = True

    def close(self) -> None:
        """End the thread, at the latest when it would have rung."""
        self._closed = True
        self._wanted.set()
