"""Testing a handler without a broker: orders in, outcomes out, by the worker's own code.

>>> from kafka_orders.testing import outcomes
>>> def process(order):
...     if order["price"] > 100:
...         raise ValueError("too dear")
>>> order = {"orderId": "1", "product": "Tea", "price": 4.5}
>>> [one.kind for one in outcomes(process, [order, {**order, "price": 400.0}, b"not Avro", None])]
['processed', 'dead', 'dead', 'skipped']
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from kafka_orders.app import App
from kafka_orders.domain import headers
from kafka_orders.domain.errors import PermanentError
from kafka_orders.domain.policy import Retry, RetryPolicy
from kafka_orders.domain.settings import Settings
from kafka_orders.log.message import Message
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch, SlotBatch
from kafka_orders.pipeline.handlers import Handler
from kafka_orders.pipeline.handling import Handling
from kafka_orders.pipeline.roles import RoleName

__all__ = ["Outcome", "outcomes", "settled"]

#: What a test hands in: an order, or the bytes of a record; None is a tombstone.
Given = Mapping[str, Any] | bytes | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one order.

    ``kind`` is processed, retry, dead or skipped. ``attempt`` is the retry it waits for, or the retries a dead
    or processed one had; ``wait`` the shortest wait before that retry, in seconds. ``error``, ``fqcn`` (the
    error's class) and ``stage`` (decode, validate or process) tell why it failed. ``output`` are the bytes for
    the app's output topic; None where it has none.
    """

    kind: Literal["processed", "retry", "dead", "skipped"]
    attempt: int = 0
    wait: float = 0.0
    error: str = ""
    fqcn: str = ""
    stage: str = ""
    output: bytes | None = None


def outcomes(
    handler: Handler | App, orders: Iterable[Given], *, attempt: int = 0, settings: Settings | None = None
) -> list[Outcome]:
    """Run a handler, or a whole app, over orders and return the outcome of each; nothing waits.

    Args:
        handler: a handler of orders, or an :class:`~kafka_orders.App` for another schema.
        orders: dicts are encoded by the app's schema (one that does not fit is a ``ValueError`` of the test).
        attempt: 0 for the main role, n for the retry role at retry number n.
        settings: default: those the app was made with; environment and files are not read.

    Raises:
        SettingsError: the handler or the app cannot be used, as at the start of a role.
    """
    with _Bench(handler, settings) as bench:
        return [bench.outcome(one, number, attempt) for number, one in enumerate(orders)]


def settled(handler: Handler | App, order: Given, *, settings: Settings | None = None) -> list[Outcome]:
    """Return the outcomes of an order's whole journey, its retries played at once; the last one is final."""
    with _Bench(handler, settings) as bench:
        journey = [bench.outcome(order, 0, 0)]
        while journey[-1].kind == "retry":
            journey.append(bench.outcome(order, 0, journey[-1].attempt))
        return journey


class _Bench(ExitStack):
    """Both roles of an app, each with one event loop for all its orders, as in production."""

    def __init__(self, handler: Handler | App, settings: Settings | None) -> None:
        super().__init__()
        app = handler if isinstance(handler, App) else App(handler)
        self._settings = settings or app.settings(apart=True)
        self._job = app.job(self._settings)
        self._roles: dict[RoleName, Handling] = {}
        for role in get_args(RoleName):
            self._roles[role], _, results = self._job.handling(self._settings, role)
            self.callback(results.close)

    def outcome(self, given: Given, number: int, attempt: int) -> Outcome:
        """Run one order; ``attempt`` beyond 0 is the retry role's."""
        count = str(attempt).encode()
        held: list[tuple[str, str | bytes | None]] = [(headers.RETRY_COUNT, count)] if attempt else []
        message = Message(
            topic=self._settings.topic, partition=0, offset=number, key=str(number).encode(),
            value=self._payload(given), headers=held, timestamp=(1, 0),
        )  # fmt: skip
        batch = Batch()
        self._roles["retry" if attempt else "main"].handle([message], batch, Alarm())
        (part,) = batch.slots.values()
        return _told(part, self._settings.policy, attempt)

    def _payload(self, given: Given) -> bytes | None:
        if isinstance(given, bytes) or given is None:
            return given
        try:
            return self._job.codec.form(b"", []).encode(dict(given))
        except PermanentError:
            raise ValueError("the app has a decode of its own and no encode=: hand in bytes") from None


def _told(part: SlotBatch, policy: RetryPolicy, attempt: int) -> Outcome:
    if part.skipped:
        return Outcome("skipped", attempt)
    if not part.routed:
        return Outcome("processed", attempt, output=part.results[0][1] if part.results else None)
    (one,) = part.routed
    failure = one.failure
    if failure.fqcn == "builtins.KeyboardInterrupt":
        raise KeyboardInterrupt  # it was meant for the test, not for the handler
    if isinstance(one.decision, Retry):
        wait = replace(policy, jitter=0.0).wait_ms(one.decision.attempt, "", one.decision.after_ms) / 1000
        return Outcome("retry", one.decision.attempt, wait, failure.message, failure.fqcn, failure.stage)
    return Outcome("dead", one.decision.retries, 0.0, failure.message, failure.fqcn, failure.stage)
