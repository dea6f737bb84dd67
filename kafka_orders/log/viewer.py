"""A group member that only looks: starts at the beginning, commits what was shown."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from confluent_kafka import KafkaException, Message, TopicPartition
from confluent_kafka.cimpl import Consumer  # the client's own: tracing tools replace the package's

from kafka_orders.log.clients import Connection, made
from kafka_orders.log.errors import denied
from kafka_orders.log.message import offset_of, slot_of


class Viewer:
    """Reads one topic in a group, committed records only."""

    def __init__(self, connection: Connection, group: str, topic: str) -> None:
        config = connection.member(group)
        self._group = group
        # It changes nothing, so reading from the beginning is always safe.
        self._consumer = made(Consumer, {**config, "auto.offset.reset": "earliest"})
        self._consumer.subscribe([topic])

    def fetch(self, count: int, timeout: float) -> list[Message]:
        """Return records; a single one is not kept waiting for others.

        Raises:
            BrokerError: permission is missing.
        """
        found = self._consumer.consume(1, timeout)
        found += self._consumer.consume(count - 1, 0) if found else []
        for message in found:
            error = message.error()
            refusal = denied(error, message.topic() or "", self._group) if error is not None else None
            if refusal is not None:
                raise refusal
        return [message for message in found if message.error() is None]

    def seen(self, messages: Iterable[Message]) -> None:
        """Commit that these were shown; where the broker is away, they are shown again later."""
        next_offsets = {slot_of(message): offset_of(message) + 1 for message in messages}
        if next_offsets:
            offsets = [TopicPartition(*slot, offset) for slot, offset in next_offsets.items()]
            with suppress(KafkaException):  # shown twice is harmless; the partition may have moved, too
                self._consumer.commit(offsets=offsets, asynchronous=False)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
