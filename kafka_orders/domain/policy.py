"""Deciding what becomes of a failure: pure functions of the error, the attempt and the policy.

Performing the decision is the worker's business (``pipeline/routing.py``).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

from kafka_orders.domain.errors import PermanentError, RetryAfter, TemporaryError

#: No delay is longer than this, whatever the attempt: one hour in milliseconds.
LONGEST_DELAY_MS = 3_600_000


class Retry(NamedTuple):
    """The record waits in `orders_retry` for its retry number ``attempt`` (1..max_retries).

    ``after_ms`` is the wait its handler asked for (``RetryAfter``); None: the policy's.
    """

    attempt: int
    after_ms: int | None = None

    def __str__(self) -> str:
        return f"retry {self.attempt}"


class Dead(NamedTuple):
    """The record goes to `orders_dlq` after ``retries`` retries."""

    retries: int

    def __str__(self) -> str:
        return "dead letter queue"


Decision = Retry | Dead


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how late to retry, and which errors deserve it.

    ``temporary`` are classes of errors that, with their subclasses, are retried; an exact
    ``RuntimeError`` is too, but not its subclasses (``RecursionError`` is a bug, not bad luck).
    """

    max_retries: int = 3
    delay_ms: int = 2_000
    jitter: float = 0.1
    temporary: tuple[type[BaseException], ...] = (TemporaryError, ConnectionError, TimeoutError)

    def is_temporary(self, error: BaseException) -> bool:
        """Say whether trying again later may help."""
        if isinstance(error, PermanentError):
            return False
        return isinstance(error, self.temporary) or type(error) is RuntimeError

    def decide(self, error: BaseException, retries: int) -> Decision:
        """Return what becomes of a record that failed with ``error`` after ``retries`` retries."""
        return self.after(retries, error) if self.is_temporary(error) else Dead(retries)

    def after(self, retries: int, error: BaseException | None = None) -> Decision:
        """Return what a temporary failure after ``retries`` retries leads to."""
        if retries >= self.max_retries:
            return Dead(retries)
        return Retry(retries + 1, error.milliseconds if isinstance(error, RetryAfter) else None)

    def wait_ms(self, attempt: int, origin: str, after_ms: int | None = None) -> int:
        """Return how long retry number ``attempt`` waits, in milliseconds.

        ``min(delay * 2**(attempt - 1), 1 h) * (1 + jitter * f)`` with f in [0, 1) derived from the
        origin, so the wait is the same whoever computes it, and never shorter than promised.
        ``after_ms``, where the handler asked for it, takes the delay's place. Attempt 0 (a replay) is due
        at once.
        """
        if attempt <= 0:
            return 0
        delay = self._delay_ms(attempt) if after_ms is None else min(after_ms, LONGEST_DELAY_MS)
        share = zlib.crc32(f"{origin}#{attempt}".encode()) / 2**32
        return int(delay * (1 + self.jitter * share))

    def band(self, retry: Retry) -> int:
        """Return the band of `orders_retry` to wait in: the attempt's own.

        A wait that was asked for goes where the others wait at least as long: it may be late there, but a
        short delay does not wait behind it. One that is longer than all goes into the last band, and others
        there may be late by it.
        """
        if retry.after_ms is None:
            return retry.attempt
        bands = range(1, self.max_retries)
        return next((one for one in bands if self._delay_ms(one) >= retry.after_ms), max(1, self.max_retries))

    def _delay_ms(self, attempt: int) -> int:
        return min(self.delay_ms << min(attempt - 1, 32), LONGEST_DELAY_MS)


def retry_partition(band: int, key: bytes | None, origin: str, partitions: int, max_retries: int) -> int:
    """Return the partition of `orders_retry` in ``band`` (:meth:`RetryPolicy.band`).

    Partitions form one band per attempt (band 0: replays), so that a short delay never waits
    behind a long one; within a band the key decides, to keep a key's retries in order. Only the
    punctuality rests on this layout, never the correctness.
    """
    bands = min(max_retries + 1, partitions)
    width = partitions // bands
    return min(band, bands - 1) * width + zlib.crc32(key if key is not None else origin.encode()) % width
