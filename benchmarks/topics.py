"""The topics of a run: the orders, made by our own producer, and what each contender writes to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]

from benchmarks.job import Job, failing_below
from benchmarks.peers.common import decoder
from benchmarks.peers.ours import settings_of
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.framing import FRAME, FRAME_BYTES
from kafka_orders.formats.opening import codec_of
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.startup import connection_of
from kafka_orders.pipeline.stop import Stop

_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What an orders topic holds, read with fastavro: the prices, and how many products."""

    prices: list[float]
    products: int

    def of(self, percent: float) -> tuple[int, float, int]:
        """Return count and sum of the orders to be counted, and the number of those that fail."""
        counted = [price for price in self.prices if price >= failing_below(percent)]
        return len(counted), math.fsum(counted), len(self.prices) - len(counted)


def fill(
    bootstrap: str, topic: str, count: int, partitions: int, form: str = "avro", registry: str = ""
) -> Expected:
    """Create an orders topic, produce ``count`` orders with our own producer, and read what is in it.

    ``form`` is their format: avro, which is read with fastavro, json or protobuf. ``registry`` is the address of
    the schema registry that they are framed for, if they are.
    """
    job = Job(bootstrap, topic, partitions, count, 0.0, run=f"{topic}-fill", home="", registry=registry)
    settings = settings_of(job, rate=0.0, count=count, seed=1, format=form)
    codec = codec_of(settings)
    done = produce(settings, codec, lambda _order, _report: None, lambda _text: None, Stop())
    delete_of(job)
    if done.acknowledged != count:
        raise RuntimeError(f"{done.acknowledged} of {count} orders are in {topic}")
    decode = decoder() if form == "avro" else codec.own.decode
    values = _values(bootstrap, topic, partitions, count)
    # Schema and place of the message are the same ones in all: this topic has one writer.
    head = (FRAME_BYTES + (form == "protobuf")) if registry else 0
    if registry and {value[:1] for value in values} != {FRAME}:
        raise RuntimeError(f"orders in {topic} have no frame")
    orders = [decode(value[head:]) for value in values]
    return Expected([one["price"] for one in orders], len({one["product"] for one in orders}))


def _values(bootstrap: str, topic: str, partitions: int, most: int) -> list[bytes]:
    """Return the values of the committed records of a topic, at most ``most`` and one more."""
    consumer = Consumer(connection_of(Settings(bootstrap_servers=bootstrap)).reader())
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
    values: list[bytes] = []
    ended = 0
    while ended < partitions and len(values) <= most:
        for message in consumer.consume(1000, 1.0):
            if message.error() is None:
                values.append(message.value() or b"")
            else:  # the end of a partition
                ended += 1
    consumer.close()
    return values


def count_of(bootstrap: str, topic: str, most: int) -> int:
    """Return how many committed records a topic has, or more than ``most``."""
    partitions = len(_admin(bootstrap).list_topics(topic, timeout=10).topics[topic].partitions)
    return len(_values(bootstrap, topic, partitions, most))


def committed(bootstrap: str, group: str, topic: str, partitions: int) -> int:
    """Return the sum of a group's committed offsets: how many orders it says are done."""
    # A consumer asks, not an admin client: see DESIGN.md, Non-obvious 20.
    consumer = Consumer(connection_of(Settings(bootstrap_servers=bootstrap)).reader() | {"group.id": group})
    found = consumer.committed([TopicPartition(topic, number) for number in range(partitions)], _WAIT_SECONDS)
    consumer.close()
    return sum(max(0, one.offset) for one in found)


def create_for(job: Job) -> None:
    """Create the topics of a run as our own roles would: all contenders get the same."""
    upkeep.create(settings_of(job), lambda _text: None)


def delete(bootstrap: str, names: Iterable[str]) -> None:
    """Delete topics, those that exist."""
    admin = _admin(bootstrap)  # kept until all have answered
    for future in admin.delete_topics(list(names)).values():
        future.exception(_WAIT_SECONDS)


def delete_of(job: Job) -> None:
    """Delete all topics of a run, so that the next contender meets the broker as this one did."""
    names = [name for name in _admin(job.bootstrap).list_topics(timeout=10).topics if job.run in name]
    delete(job.bootstrap, names)


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})  # warnings and worse
