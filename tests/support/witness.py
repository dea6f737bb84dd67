"""An independent witness: reads topics with the bare client and fastavro, knows nothing of our code.

Its verdict rests on the producer's journal of acknowledged orders. Prices are different whole numbers,
exact as float32, so that an exact sum tells which orders were counted, not only how many.
"""

from __future__ import annotations

import io
import json
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from tests.support.shards import read_shards

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = fastavro.parse_schema(json.loads((ROOT / "avro/order.avsc").read_text()))
PRODUCTS = ("Item1", "Item2", "Item3", "Item4", "Item5")


def read_all(bootstrap: str, topic: str, isolation: str = "read_committed") -> list[Message]:
    """Return every committed record of a topic, up to the end it has now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"witness-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
        }
    )
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    # Under a steady stream the end of a partition is never told: the end it has now bounds it, too.
    ends = {one: _end(consumer, TopicPartition(topic, one)) for one in partitions}
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found, ended, deadline = [], set(), time.monotonic() + 60
    while len(ended) < len(partitions):
        assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
        for message in consumer.consume(1000, 0.2):
            error = message.error()
            if error is None:
                if message.offset() < ends[message.partition()]:
                    found.append(message)
                if message.offset() >= ends[message.partition()] - 1:
                    ended.add(message.partition())
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise AssertionError(error)
    consumer.close()
    return found


def _end(consumer: Consumer, partition: TopicPartition) -> int:
    """Return the end of a partition, whose leader may just have come back."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return consumer.get_watermark_offsets(partition, 10)[1]
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def decode(payload: bytes) -> dict[str, Any]:
    """Return an order."""
    record: Any = fastavro.schemaless_reader(io.BytesIO(payload), SCHEMA, None)
    return record  # type: ignore[no-any-return]


def encode(order: dict[str, Any]) -> bytes:
    """Return the bytes of an order."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, SCHEMA, order)
    return stream.getvalue()


@dataclass
class Journal:
    """Sends orders and keeps those that Kafka acknowledged."""

    bootstrap: str
    topic: str
    seed: int = 1
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    _number: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._producer = Producer(
            {"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
        )

    def send(self, count: int) -> None:
        """Send orders without waiting for their reports."""
        for _ in range(count):
            self._number += 1
            order = {
                "orderId": f"{self._number:08d}-{self._random.getrandbits(32):08x}",
                "product": self._random.choice(PRODUCTS),
                "price": float(self._number),
            }

            def told(error: KafkaError | None, _message: Message, order: dict[str, Any] = order) -> None:
                if error is None:
                    self.acknowledged[order["orderId"]] = order

            self._producer.produce(self.topic, encode(order), order["orderId"].encode(), on_delivery=told)
        self._producer.poll(0)

    def finish(self) -> None:
        """Wait for all reports."""
        assert self._producer.flush(60) == 0


@dataclass
class Account:
    """What the topics say of a journal's orders."""

    lost: int
    doubled: int
    dead: int
    counted: int
    wrong_sums: list[str]


def account(
    journal: Journal, averages: str, dlq: str, but: Callable[[Message], bool] = lambda _: False
) -> Account:
    """Compare the journal with dead letters and averages; every acknowledged order must be in one of them.

    Dead letters for which ``but`` holds are none of the journal's.
    """
    found = [one for one in read_all(journal.bootstrap, dlq) if not but(one)]
    dead_ids = [decode(one.value() or b"")["orderId"] for one in found]
    dead = Counter(dead_ids)
    expected: dict[str, list[Fraction]] = defaultdict(list)
    for order_id, order in journal.acknowledged.items():
        if order_id not in dead:
            expected[order["product"]].append(Fraction(order["price"]))
    counted, sums = shards(journal.bootstrap, averages)
    lost = doubled = 0
    wrong = []
    for product in sorted(set(expected) | set(counted)):
        difference = counted[product] - len(expected[product])
        lost += max(0, -difference)
        doubled += max(0, difference)
        if sums[product] != sum(expected[product], Fraction(0)):
            wrong.append(f"{product}: {float(sums[product])} for {float(sum(expected[product]))}")
    doubled += sum(number - 1 for number in dead.values())
    strangers = set(dead) - set(journal.acknowledged)
    assert not strangers, f"dead letters that nobody sent: {sorted(strangers)[:5]}"
    return Account(lost, doubled, len(dead), sum(counted.values()), wrong)


def shards(bootstrap: str, averages: str) -> tuple[Counter[str], dict[str, Fraction]]:
    """Return count and exact sum per product."""
    counts: Counter[str] = Counter()
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for found in read_shards((one.key(), one.value()) for one in read_all(bootstrap, averages)).values():
        for product, (_, count, total) in found.held.items():
            counts[product] += count
            sums[product] += total
    return counts, sums
