"""What the Python peers share: the order's schema for fastavro, and a running count and sum."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fastavro

SCHEMA = Path(__file__).resolve().parents[2] / "avro/order.avsc"

#: Count and sum of each product.
Totals = dict[str, tuple[int, float]]


def decoder() -> Callable[[bytes], dict[str, Any]]:
    """Return how users of Python's Kafka clients read Avro: fastavro (in C), the schema parsed once."""
    schema = fastavro.parse_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
    read, stream = fastavro.schemaless_reader, io.BytesIO

    def decode(payload: bytes) -> dict[str, Any]:
        return read(stream(payload), schema, None)  # type: ignore[return-value]

    return decode


class Work:
    """The job's own part for a batch of payloads: decode, count and sum, tell which fail."""

    def __init__(self, failing_below: float) -> None:
        self.totals: Totals = {}
        self.failures = 0
        self.seen = 0
        self._decode, self._failing_below = decoder(), failing_below

    def batch(self, records: Sequence[Any], payloads: list[bytes]) -> list[Any]:
        """Take records and their values; return the records that fail."""
        values: dict[str, list[float]] = {}
        failed: list[Any] = []
        decode, failing_below = self._decode, self._failing_below
        for record, payload in zip(records, payloads, strict=True):
            order = decode(payload)
            price = order["price"]
            if price < failing_below:
                failed.append(record)
            elif order["product"] in values:
                values[order["product"]].append(price)
            else:
                values[order["product"]] = [price]
        for product, prices in values.items():  # once per batch and product, not once per order
            count, total = self.totals.get(product, (0, 0.0))
            self.totals[product] = (count + len(prices), total + sum(prices))
        self.seen += len(records)
        self.failures += len(failed)
        return failed
