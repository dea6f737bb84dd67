"""The errors of kafka-orders: one root, one sentence per class, an exit code each.

An error raised without a message says its class's docstring. Errors a *handler* raises to
choose an outcome (:class:`TemporaryError` and friends) stand here too: they are vocabulary.
"""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import Any

#: A handler cannot ask for a longer wait: one hour in seconds.
LONGEST_WAIT_SECONDS = 3_600

#: What to look at first where payloads are not what they should be.
UNREADABLE = "cannot be read with these settings; is --schema, --format or --registry-url missing?"

# What follows `#:` stands in docs/reference/exit-codes.md too.
#: Failed; the message on stderr says what, and what it means for the orders.
EXIT_FAILED = 1
#: Usage: an unknown command, flag or setting, or a value that is impossible; nothing was asked of a broker.
EXIT_USAGE = 2
#: No broker answers, or no schema registry; a role waits 15 s for its first broker, later without limit.
EXIT_NO_BROKER = 3
#: Refused: going on could lose or double orders, or give a password away.
EXIT_REFUSED = 4
#: Not proven: `verify` or `demo` says that the topics do not add up.
EXIT_NOT_PROVEN = 5
#: A second signal, or Ctrl-C in a one-shot command; an open transaction aborts, nothing is lost.
EXIT_INTERRUPTED = 130


class KafkaOrdersError(Exception):
    """Something went wrong in kafka-orders."""

    #: Exit code of a command that ends with this error (design, section 5).
    exit_code: int = EXIT_FAILED

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().split("\n")[0])


class SettingsError(KafkaOrdersError):
    """A setting cannot be used as it stands."""

    exit_code = EXIT_USAGE


class NoBrokerError(KafkaOrdersError):
    """No Kafka broker answers."""

    exit_code = EXIT_NO_BROKER


class OutageError(KafkaOrdersError):
    """What is needed to read orders is away: no order is at fault, so none is routed, and all wait."""

    exit_code = EXIT_NO_BROKER


class BrokerError(KafkaOrdersError):
    """The broker refused a request, and trying again cannot help."""


class BusyError(KafkaOrdersError):
    """Others are looking through the dead letters; nothing was changed, ask again in a moment."""


class NotFoundError(KafkaOrdersError):
    """What was named is not there: it never was, or retention has removed it."""


class RefusedError(KafkaOrdersError):
    """The pipeline refuses to go on: that could lose or double orders, or give a password away."""

    exit_code = EXIT_REFUSED


class StateMismatchError(RefusedError):
    """The running averages and the consumer group's offsets disagree."""


class FencedError(RefusedError):
    """Another live process uses this transactional.id."""


class UncommittableError(RefusedError):
    """A single record cannot be committed."""


class LocalKafkaError(KafkaOrdersError):
    """The embedded Kafka could not do what was asked."""


class OutsideBatchError(KafkaOrdersError):
    """A send function was called while no record is being handled, so there is nothing to route."""


class TransactionFailedError(KafkaOrdersError):
    """The transaction did not end in a known commit; its outcome has to be read back from Kafka."""

    #: The broker refused a record for what it is: the same batch will be refused again.
    blames_records: bool = False


class DecodeError(ValueError):
    """The bytes are not a record of the schema."""


class InvalidOrderError(ValueError):
    """The order decodes, but its values cannot be counted."""


class TemporaryError(Exception):
    """Raise this in a handler when trying the same order again later may succeed."""


class PermanentError(Exception):
    """Raise this in a handler when no retry can help: the order goes to the dead letter queue."""


class RetryAfter(TemporaryError):  # noqa: N818  the public name of the design: it reads as a request
    """Raise this in a handler to ask for a retry after ``seconds`` (at most an hour) plus the jitter.

    It is a temporary failure like any other, and counts as a retry; only the wait is the handler's.
    """

    def __init__(self, seconds: float | str | timedelta, message: str = "") -> None:
        """``seconds`` as a number, as a server's Retry-After header tells them, or as a timedelta."""
        #: None where it makes no sense: the wait is the policy's then.
        self.seconds = _seconds(seconds)
        when = "later" if self.seconds is None else f"after {self.seconds:g} s"
        super().__init__(message or f"retry {when}")

    @property
    def milliseconds(self) -> int | None:
        """The wait in whole milliseconds, never shorter than asked for; None for what makes no sense."""
        asked = _seconds(getattr(self, "seconds", None))  # a subclass is a stranger's code
        return None if asked is None else ceil(min(asked, LONGEST_WAIT_SECONDS) * 1000)


def _seconds(told: Any) -> float | None:
    try:
        seconds = told.total_seconds() if isinstance(told, timedelta) else float(told)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None
