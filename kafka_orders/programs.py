"""The roles as programs: what they print, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from kafka_orders.deadletters.watch import watch
from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.settings import Settings
from kafka_orders.log.patience import StopRequested
from kafka_orders.pipeline.handling import Decode
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.stop import Stop
from kafka_orders.sources import load
from kafka_orders.views import logs
from kafka_orders.views.producing import ProducerConsole


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
