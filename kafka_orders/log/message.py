"""The record as the client delivers it, under a name the upper rooms may import."""

from __future__ import annotations

from typing import cast

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from kafka_orders.domain import headers
from kafka_orders.domain.headers import Headers, Link
from kafka_orders.domain.records import Slot

__all__ = ["Message", "append_time_ms", "headers_of", "link_of", "offset_of", "origin_of", "slot_of"]


def slot_of(message: Message) -> Slot:
    """Return the partition a consumed record came from."""
    return Slot(message.topic() or "", message.partition() or 0)


def offset_of(message: Message) -> int:
    """Return the offset of a consumed record."""
    offset = message.offset()
    if offset is None or offset < 0:
        raise ValueError("a consumed record has no offset")
    return offset


def headers_of(message: Message) -> Headers:
    """Return the headers of a consumed record, repeated and null ones included."""
    return cast("Headers", message.headers() or [])


def origin_of(message: Message) -> headers.Origin:
    """Return where the order of a retry or dead letter record came from: itself, where its headers do not tell."""
    return headers.origin(headers_of(message)) or headers.Origin(*slot_of(message), offset_of(message))


def link_of(message: Message) -> Link:
    """Return the place of a retry or dead letter record in its order's chain."""
    came, held = origin_of(message), headers_of(message)
    replayed = headers.replay_of(held)
    return came.topic, came.partition, came.offset, headers.retry_count(held), replayed.number if replayed else 0


def append_time_ms(message: Message) -> int | None:
    """Return when the broker appended the record, by its clock; None where the topic keeps other times."""
    kind, when = message.timestamp()
    return when if kind == TIMESTAMP_LOG_APPEND_TIME else None
