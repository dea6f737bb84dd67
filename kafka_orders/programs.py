"""The roles as programs: what they print, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from kafka_orders.deadletters.watch import watch
from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.settings import Settings
from kafka_orders.log.patience import StopRequested
from kafka_orders.log.producer import Report
from kafka_orders.pipeline.handling import Decode
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.stop import Stop
from kafka_orders.sources import load
from kafka_orders.views import logs
from kafka_orders.views.exposing import exposed
from kafka_orders.views.producing import ProducerConsole

if TYPE_CHECKING:
    from kafka_orders.views.metrics import Metrics


def run_producer(encode: Callable[[dict[str, Any]], bytes], settings: Settings | None = None) -> NoReturn:
    """Run the producer role as a program: exit 0, or 1 when an order was not acknowledged."""

    def work() -> None:
        found = settings or load()
        logs.set_up(found.log_format)
        with Stop().on_signals() as stop, exposed(found) as metrics:
            done = produce(found, encode, _told(found, metrics), say, stop)
        say(f"{done.acknowledged} of {done.sent} orders acknowledged")
        if done.failed:
            raise KafkaOrdersError(f"{done.failed} orders were not acknowledged; they may be sent again safely")

    exit_with(work)


def _told(settings: Settings, metrics: Metrics | None) -> Callable[[Mapping[str, Any], Report], None]:
    """Return who hears of delivery reports."""
    console = ProducerConsole(write_line)
    if metrics is None:
        return console
    taken = metrics["messages_produced"].labels(settings.topic)

    def told(order: Mapping[str, Any], report: Report) -> None:
        console(order, report)
        taken.inc(report.error is None)

    return told


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
