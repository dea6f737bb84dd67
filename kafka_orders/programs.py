"""The roles as programs: what they print, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from kafka_orders.deadletters.watch import watch
from kafka_orders.domain.errors import DecodeError, KafkaOrdersError
from kafka_orders.domain.order import Decode
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.base import Encode
from kafka_orders.formats.codec import AnyCodec, OwnCodec
from kafka_orders.formats.opening import codec_of
from kafka_orders.log.patience import StopRequested
from kafka_orders.log.producer import Report
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.stop import Stop
from kafka_orders.sources import load
from kafka_orders.views import logs
from kafka_orders.views.exposing import exposed
from kafka_orders.views.producing import ProducerConsole

if TYPE_CHECKING:
    from kafka_orders.views.metrics import Metrics


def run_producer(codec: AnyCodec | Encode | None = None, settings: Settings | None = None) -> NoReturn:
    """Run the producer role as a program: exit 0, or 1 when an order was not acknowledged.

    ``codec`` writes the orders, or a function from an order to bytes; default: as the settings say.
    """

    def work() -> None:
        found = settings or load()
        logs.set_up(found.log_format)
        with Stop().on_signals() as stop, exposed(found) as metrics:
            done = produce(found, _codec(codec, found), _told(found, metrics), say, stop)
        say(f"{done.acknowledged} of {done.sent} orders acknowledged")
        if done.failed:
            raise KafkaOrdersError(f"{done.failed} orders were not acknowledged; they may be sent again safely")

    exit_with(work)


def _codec(given: AnyCodec | Encode | None, settings: Settings) -> AnyCodec:
    if given is None:
        return codec_of(settings)
    return OwnCodec(_unread, given) if callable(given) else given


def _unread(_payload: bytes) -> NoReturn:
    raise DecodeError("a producer reads nothing")


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


def run_dlq_viewer(decode: Decode | None = None, settings: Settings | None = None) -> NoReturn:
    """Run the dead letter viewer as a program until Ctrl-C.

    ``decode`` takes a dead letter's bytes and headers; default: as the settings say.
    """

    def work() -> None:
        found = settings or load()
        logs.set_up(found.log_format)
        with Stop().on_signals() as stop:
            watch(found, decode or codec_of(found).decode, write_line, say, stop)

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
