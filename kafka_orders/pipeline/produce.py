"""The producer role: random orders, acknowledged by all replicas, each report counted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.base import Encode
from kafka_orders.formats.codec import AnyCodec
from kafka_orders.log.producer import Copy, PlainProducer, Report
from kafka_orders.pipeline import tracing
from kafka_orders.pipeline.knobs import Knobs
from kafka_orders.pipeline.startup import await_outage, reach
from kafka_orders.pipeline.stop import Stop

PRODUCTS = ("Item1", "Item2", "Item3", "Item4", "Item5")
#: Waiting for the next order's time is cut into steps this long, so that signals are answered.
_STEP_SECONDS = 0.1

Order = dict[str, Any]


def random_orders(seed: int | None) -> Iterator[Order]:
    """Yield random orders for ever; the same seed gives the same orders."""
    source = random.Random(seed)  # noqa: S311  demo orders, no secrets
    while True:
        yield {
            "orderId": f"{source.getrandbits(64):016x}",
            "product": source.choice(PRODUCTS),
            "price": round(source.uniform(1.0, 500.0), 2),
        }


@dataclass(slots=True)
class Produced:
    """How a run of the producer ended."""

    sent: int = 0
    acknowledged: int = 0
    failed: int = 0


def produce(
    settings: Settings,
    codec: AnyCodec,
    told: Callable[[Order, Report], None],
    say: Callable[[str], None],
    stop: Stop,
) -> Produced:
    """Send orders at ``settings.rate`` until ``settings.count`` or a stop; then wait for every report.

    Raises:
        NoBrokerError: no broker at the start.
        SettingsError: the schema does not take such orders.
    """
    cluster = reach(settings, stop, say, needed=[settings.topic])
    encode, headers = await_outage(lambda: codec.writes(settings.topic), stop, say)
    _try_out(encode)
    done = Produced()

    def heard(order: Order, report: Report) -> None:
        done.acknowledged += report.error is None
        done.failed += report.error is not None
        told(order, report)

    producer = PlainProducer(cluster.connection)
    send = tracing.sending(producer)
    pace = Pace(settings)
    for order in random_orders(settings.seed):
        if stop.requested or (settings.count and done.sent >= settings.count):
            break
        if not pace.await_turn(producer, stop):
            break
        key = order["orderId"].encode()
        send(settings.topic, Copy(key, encode(order), headers), partial(heard, order))
        done.sent += 1
    producer.finish(say)
    return done


def _try_out(encode: Encode) -> None:
    """All orders are alike: what the schema does not take is said before one is sent."""
    order = next(random_orders(0))
    try:
        encode(order)
    except ValueError as error:
        raise SettingsError(
            f"the schema does not take the orders that are made here, with {', '.join(order)}: {error}. Nothing"
            " was sent. Records of another schema come from a program of yours: docs/howto/schema.md has one."
        ) from error


class Pace:
    """When the next order is due. Turning the knob begins to count anew, at the new rate."""

    def __init__(self, settings: Settings) -> None:
        self._rate = settings.rate
        self._knobs = Knobs(settings.knobs) if settings.knobs else None
        self._started, self._sent = time.monotonic(), 0

    def await_turn(self, producer: PlainProducer, stop: Stop) -> bool:
        """Serve reports until the next order is due; False when stopped meanwhile."""
        while not stop.requested:
            self._look()
            wait = self._started + self._sent / self._rate - time.monotonic() if self._rate else 0.0
            if wait <= 0:
                break
            producer.serve(min(wait, _STEP_SECONDS))
        self._sent += 1
        return not stop.requested

    def _look(self) -> None:
        rate = self._knobs.now().rate if self._knobs is not None else None
        if rate is not None and rate != self._rate:
            self._rate, self._started, self._sent = rate, time.monotonic(), 0
