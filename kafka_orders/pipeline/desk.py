"""Where a failed record gets its outcome: through the app's named send functions, or by default.

``send_to_retry`` and ``send_to_dlq`` here are what the app's functions of these names call. Inside a
batch a call *is* the outcome of the record being handled; outside there is nothing to route.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kafka_orders.domain import headers
from kafka_orders.domain.errors import OutsideBatchError, PermanentError, TemporaryError
from kafka_orders.domain.fingerprint import Failure, Stage, describe, text_of
from kafka_orders.domain.headers import Headers, Origin
from kafka_orders.domain.policy import Dead, Decision, Retry, RetryPolicy
from kafka_orders.log.message import Message, headers_of, offset_of, slot_of
from kafka_orders.pipeline.batch import Routed

SendToRetry = Callable[[Any, str, int], None]
SendToDlq = Callable[[Any, str], None]

_log = logging.getLogger(__name__)
_current: ContextVar[Desk | None] = ContextVar("kafka_orders_desk", default=None)


def send_to_retry(msg: Any, error_msg: str, retry_count: int = 0) -> None:
    """Let the record being handled wait for its next retry; ``retry_count`` is the count so far.

    Beyond MAX_RETRIES it goes to the dead letter queue instead.

    Raises:
        OutsideBatchError: no record is being handled, or ``msg`` is another one.
    """
    desk = _at_desk(msg)
    retries = max(desk.retries(desk.at_hand), retry_count)  # else a record that says 0 would be retried for ever
    desk.route(desk.policy.after(retries, desk.error), str(error_msg))


def send_to_dlq(msg: Any, error_msg: str) -> None:
    """Send the record being handled to the dead letter queue.

    Raises:
        OutsideBatchError: no record is being handled, or ``msg`` is another one.
    """
    desk = _at_desk(msg)
    desk.route(Dead(desk.retries(desk.at_hand)), str(error_msg))


def _at_desk(msg: Any) -> Desk:
    desk = _current.get()
    if desk is None or desk.message is None:
        raise OutsideBatchError
    if threading.get_ident() != desk.thread:
        raise OutsideBatchError(
            "a send function was called on another thread than the handler's: by the time it is heard there,"
            " another record may be at hand; nothing was routed. Return or raise, and send from the handler"
        )
    if msg is not desk.message and isinstance(msg, Message) and _place(msg) != _place(desk.message):
        raise OutsideBatchError(
            f"record {_place(msg)} is not the one being handled ({_place(desk.message)}); nothing was routed"
        )
    return desk


def _place(message: Message) -> str:
    return f"{slot_of(message)}/{offset_of(message)}"


@dataclass(frozen=True, slots=True)
class Meta:
    """What a handler is told of a record beside the order, as its second argument.

    ``origin`` is where the order first came from: the idempotency key for calls to the world outside.
    ``attempt`` is 0 at the first try and n in retry number n. ``key`` and ``headers`` are the record's own,
    as they came: input from strangers.
    """

    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    origin: Origin
    attempt: int


class Desk:
    """The record being handled, and the outcome it was given by hand."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        source_is_retry: bool,
        to_retry: SendToRetry = send_to_retry,
        to_dlq: SendToDlq = send_to_dlq,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self.message: Message | None = None
        self.thread = 0
        self.routed: Routed | None = None
        self.source_is_retry = source_is_retry
        self._to_retry, self._to_dlq, self._wall_clock = to_retry, to_dlq, wall_clock
        self._error: tuple[BaseException, Stage] | None = None
        self.open()

    def open(self) -> None:
        """Make this the desk of the thread that handles records from now on."""
        _current.set(self)
        self.thread = threading.get_ident()

    @property
    def at_hand(self) -> Message:
        """The record being handled."""
        if self.message is None:
            raise OutsideBatchError
        return self.message

    @property
    def error(self) -> BaseException | None:
        """What the record at hand failed with; None where it is sent by hand."""
        return self._error[0] if self._error else None

    def meta(self) -> Meta:
        """Return what a handler may know of the record at hand beside the order."""
        message = self.at_hand
        held = headers_of(message)
        origin = self._origin(message, held if self.source_is_retry else [])
        return Meta(message.key(), tuple(held), origin, self.retries(message))

    def retries(self, message: Message) -> int:
        """Return the retries a record has behind it; on the orders topic a stranger's header says nothing."""
        return headers.retry_count(headers_of(message)) if self.source_is_retry else 0

    def failed(self, message: Message, error: BaseException, stage: Stage) -> Routed:
        """Return where a failed record goes, having called the app's send function for it.

        A send function that routes nothing changes nothing: no edit of the app can lose a record.
        """
        self.message = message
        if self.routed is None:
            self._error = (error, stage)
            retries = self.retries(message)
            decision = self.policy.decide(error, retries)
            try:
                # Our own send functions would decide the same, by a longer way.
                if isinstance(decision, Retry):
                    if self._to_retry is not send_to_retry:
                        self._to_retry(message, text_of(error), retries)
                elif self._to_dlq is not send_to_dlq:
                    self._to_dlq(message, text_of(error))
            except BaseException:  # the app's own code; neither its bug nor its sys.exit() stops the pipeline
                _log.exception("a send function failed; the record goes where the policy says")
            if self.routed is None:
                self.route(decision, None)
        return self.take()

    def route(self, decision: Decision, said: str | None) -> None:
        """Record the outcome of the record at hand; a later call replaces an earlier one."""
        message = self.at_hand
        now = int(self._wall_clock() * 1000)
        held = headers_of(message) if self.source_is_retry else []
        self.routed = Routed(
            message,
            self._origin(message, held),
            decision,
            self._failure(decision, said),
            (headers.first_failed_at(held) if held else None) or now,
            now,
        )

    def take(self) -> Routed:
        """Return the outcome and be ready for the next record."""
        routed, self.routed, self._error = self.routed, None, None
        if routed is None:
            raise OutsideBatchError
        return routed

    def _failure(self, decision: Decision, said: str | None) -> Failure:
        if self._error is not None:
            return describe(*self._error, said, with_stack=isinstance(decision, Dead))
        by_hand = TemporaryError if isinstance(decision, Retry) else PermanentError
        return describe(by_hand(said), "process", said)

    @staticmethod
    def _origin(message: Message, held: Headers) -> Origin:
        itself = Origin(*slot_of(message), offset_of(message), message.timestamp()[1])
        return (headers.origin(held) if held else None) or itself
