"""An idempotent producer outside transactions: for orders, not for outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message
from confluent_kafka.cimpl import Producer  # the client's own: tracing tools replace the package's

from kafka_orders.domain.headers import Headers
from kafka_orders.log.clients import Connection, made
from kafka_orders.log.message import slot_of

#: Say how many reports are outstanding at most this often while the broker is away, in seconds.
_REMIND_SECONDS = 5.0


class Report(NamedTuple):
    """What the broker said of one record: its place, or why it was not taken."""

    place: str
    error: str | None


class Copy(NamedTuple):
    """A record to send as it is; partition -1: by its key, time 0: now."""

    key: bytes | None
    value: bytes | None
    headers: Headers = []  # noqa: RUF012  never changed
    partition: int = -1
    timestamp_ms: int = 0


#: Sends a record to a topic; what the broker says of it is told later.
Send = Callable[[str, Copy, Callable[[Report], None]], None]


class PlainProducer:
    """Sends records and passes on every delivery report."""

    def __init__(self, connection: Connection) -> None:
        self._producer = made(Producer, connection.plain_producer())

    def put(self, topic: str, copy: Copy, told: Callable[[Report], None]) -> None:
        """Send one record as it is given; waits while the client's queue is full."""
        held: Any = copy.headers

        def delivered(error: KafkaError | None, message: Message) -> None:
            slot = str(slot_of(message))
            told(Report(slot, error.str()) if error is not None else Report(f"{slot}/{message.offset()}", None))

        while True:
            try:
                self._producer.produce(
                    topic,
                    copy.value,
                    copy.key,
                    copy.partition,
                    delivered,
                    timestamp=max(0, copy.timestamp_ms),
                    headers=held,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def serve(self, seconds: float) -> None:
        """Serve delivery reports for some time."""
        self._producer.poll(seconds)

    def finish(self, say: Callable[[str], None]) -> None:
        """Wait until every record is acknowledged or given up (after delivery.timeout.ms)."""
        while outstanding := self._producer.flush(_REMIND_SECONDS):
            say(f"waiting for the broker: {outstanding} orders are not acknowledged yet")
