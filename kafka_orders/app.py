"""An app: your handler on the transactional worker.

>>> from kafka_orders import App
>>> def process(order): print(order["product"])
>>> App(process).main()                                             # doctest: +SKIP
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from kafka_orders.deadletters.watch import watch
from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.order import Contract
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.avro import order_format
from kafka_orders.log.patience import StopRequested
from kafka_orders.pipeline.desk import SendToDlq, SendToRetry, send_to_dlq, send_to_retry
from kafka_orders.pipeline.handling import Decode, Handler
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.reload import restart_process
from kafka_orders.pipeline.roles import Job, RoleName, run_role
from kafka_orders.pipeline.stop import Stop
from kafka_orders.pipeline.worker import Ended
from kafka_orders.sources import load
from kafka_orders.views import logs
from kafka_orders.views.console import Console
from kafka_orders.views.producing import ProducerConsole


class App:
    """One role of the pipeline around a handler.

    The handler is a function of one order (a dict): it returns, or it raises. What it raises decides what
    becomes of the order; see :class:`~kafka_orders.domain.policy.RetryPolicy`. It runs at least once per
    order: exactly-once covers what is in Kafka, not the handler's own calls to the world outside.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        role: RoleName = "main",
        decode: Decode | None = None,
        to_retry: SendToRetry = send_to_retry,
        to_dlq: SendToDlq = send_to_dlq,
        contract: Contract | None = None,
        defaults: dict[str, Any] | None = None,
    ) -> None:
        """Describe the app; nothing is opened or connected before :meth:`run`.

        Args:
            handler: called with each valid order.
            role: ``main`` reads the orders topic, ``retry`` the retry topic.
            decode: bytes to dict; default: the order contract's Avro.
            to_retry: called as ``to_retry(msg, error_msg, retry_count)`` for every temporary failure.
            to_dlq: called as ``to_dlq(msg, error_msg)`` for every permanent one.
            contract: which fields are the id, the value to average and the group to average by.
            defaults: settings of this program, weaker than every other source.
        """
        self._handler, self._role, self._decode = handler, role, decode
        self._to_retry, self._to_dlq = to_retry, to_dlq
        self._contract, self._defaults = contract or Contract(), defaults or {}

    def run(self, settings: Settings | None = None) -> Ended:
        """Work until Ctrl-C or SIGTERM: the batch is finished and committed, the group is left.

        Raises:
            KafkaOrdersError: with a message for people and an ``exit_code``.
        """
        found = settings or load(defaults=self._defaults)
        logs.set_up(found.log_format)
        job = Job(
            self._decode or order_format().decode,
            self._handler,
            self._contract,
            self._to_retry,
            self._to_dlq,
        )
        with Stop().on_signals() as stop:
            return run_role(self._role, found, job, Console(write_line), stop)

    def main(self, settings: Settings | None = None) -> NoReturn:
        """Run as a program: exit with the design's codes, start again when the handler's file changes."""

        def work() -> None:
            if self.run(settings) is Ended.SOURCE_CHANGED:
                restart_process()

        exit_with(work)


def run_producer(encode: Callable[[dict[str, Any]], bytes], settings: Settings | None = None) -> NoReturn:
    """Run the producer role as a program: exit 0, or 1 when an order was not acknowledged."""

    def work() -> None:
        found = settings or load()
        logs.set_up(found.log_format)
        with Stop().on_signals() as stop:
            done = produce(found, encode, ProducerConsole(write_line), say, stop)
        say(f"{done.acknowledged} of {done.sent} orders acknowledged")
        if done.failed:
            raise KafkaOrdersError(f"{done.failed} orders were not acknowledged; they may be sent again safely")

    exit_with(work)


def run_dlq_viewer(decode: Decode, settings: Settings | None = None) -> NoReturn:
    """Run the dead letter viewer as a program until Ctrl-C."""

    def work() -> None:
        found = settings or load()
        logs.set_up(found.log_format)
        with Stop().on_signals() as stop:
            watch(found, decode, write_line, say, stop)

    exit_with(work)


def exit_with(work: Callable[[], None]) -> NoReturn:
    """Run ``work`` and exit: 0, or the code of its error after saying it on stderr."""
    try:
        work()
    except KafkaOrdersError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except StopRequested:
        pass  # asked to stop while it waited for a first broker
    sys.exit(0)


def write_line(line: str) -> None:
    """Print a line at once, so that a pipe or a file shows it too."""
    print(line, flush=True)


def say(text: str) -> None:
    """Talk on stderr, so that stdout stays data."""
    print(text, file=sys.stderr, flush=True)
