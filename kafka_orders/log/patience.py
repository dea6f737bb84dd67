"""Waiting for a broker: visible, interruptible, and bounded where a bound is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka_orders.domain.errors import NoBrokerError

#: Say again that we wait, at most this often, in seconds.
_REMIND_EVERY = 15.0


class StopRequested(Exception):  # noqa: N818  it is a request, not an error
    """The role was asked to stop while it waited; whatever was open aborts."""


class Patience:
    """One waiter for all the loops that need a broker: says what it waits for, ends when asked to stop."""

    def __init__(
        self,
        stopping: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda _: None,
        limit: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stopping, self._say, self._limit, self._clock = stopping, say, limit, clock
        self._since: float | None = None
        self._said = 0.0

    def over(self) -> None:
        """Tell that what was waited for is there.

        Raises:
            StopRequested: a stop was asked for; reading a long log is waiting, too.
        """
        if self._stopping():
            raise StopRequested("read on")
        if self._said:
            self._say(f"the broker answers again after {self._clock() - (self._since or 0.0):.1f} s")
        self._since, self._said = None, 0.0

    def wait(self, what: str, why: str, pause: float = 0.2) -> None:
        """Wait a moment for ``what``; ``why`` is what went wrong last.

        Raises:
            StopRequested: a stop was asked for.
            NoBrokerError: the limit has passed.
        """
        if self._stopping():
            raise StopRequested(what)
        now = self._clock()
        self._since = now if self._since is None else self._since
        if self._limit is not None and now - self._since > self._limit:
            raise NoBrokerError(f"{what}: no answer within {self._limit:g} s ({why})")
        if now - self._since > 1.0 and (not self._said or now - self._said > _REMIND_EVERY):
            self._said = now
            self._say(f"waiting for the broker: {what} ({why})")
        time.sleep(pause)
