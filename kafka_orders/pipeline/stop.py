"""Stopping: the first signal finishes the batch, commits and leaves the group; the second ends at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from kafka_orders.domain.errors import EXIT_INTERRUPTED

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]

#: Set for children: their standard input is a pipe that closes when their parent is gone.
SUPERVISED = "KAFKA_ORDERS_SUPERVISED"


_STEP_SECONDS = 0.1


class Stop:
    """A request to stop, from a signal or from code."""

    def __init__(self) -> None:
        self.requested = False
        #: Called at a second signal, before the process ends.
        self.at_once: Callable[[], None] = lambda: None

    def __call__(self) -> bool:
        """Say whether a stop was asked for."""
        return self.requested

    def pause(self, seconds: float) -> None:
        """Wait, but not past a request to stop."""
        deadline = time.monotonic() + seconds
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _STEP_SECONDS))

    def request(self) -> None:
        """Ask for a clean stop."""
        self.requested = True

    @contextmanager
    def on_signals(self) -> Iterator[Stop]:
        """Answer SIGINT, SIGTERM, SIGHUP (Ctrl-Break) while the block runs.

        On another thread than the main one no signal can be heard: :meth:`request` stops it there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores one
        before = {number: signal.signal(number, self._heard) for number in heard}
        if os.environ.get(SUPERVISED):
            threading.Thread(target=self._end_with_parent, name="parent-watch", daemon=True).start()
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_with_parent(self) -> None:
        # The parent's end of this pipe closes however it dies: no worker is left behind without a terminal.
        with suppress(OSError, ValueError):
            os.read(sys.stdin.fileno(), 1)
        self.request()

    def _heard(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.requested:
            # Nothing is lost: the broker aborts the open transaction, the offsets stay where they were.
            with suppress(OSError, ValueError):
                self.at_once()
                sys.stdout.flush()
            os._exit(EXIT_INTERRUPTED)
        self.requested = True
