"""Plain values for tests: the client's own Message, built by hand."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message

from kafka_orders.formats.avro import order_format
from kafka_orders.formats.opening import order_codec

FORMAT = order_format()
CODEC = order_codec()


def message(
    value: bytes | None = b"",
    *,
    topic: str = "orders",
    partition: int = 0,
    offset: int = 0,
    key: bytes | None = b"key",
    headers: Sequence[tuple[str, bytes | None]] = (),
    timestamp_ms: int = 1_000,
) -> Message:
    """Return a consumed record; its time is LogAppendTime."""
    return Message(
        topic=topic, partition=partition, offset=offset, key=key, value=value,
        headers=list(headers), timestamp=(2, timestamp_ms),
    )  # fmt: skip


def order(number: int = 1, product: str = "Item1", price: float = 10.0) -> bytes:
    """Return the bytes of an order."""
    return FORMAT.encode({"orderId": f"id-{number}", "product": product, "price": price})
