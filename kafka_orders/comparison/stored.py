"""Bytes that an order takes on a broker's disk: whole batches of our producer, by compression."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kafka_orders.comparison.ways import Way
from kafka_orders.domain.errors import BrokerError
from kafka_orders.domain.order import field_text
from kafka_orders.local import Cluster, ClusterStatus
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import Connection
from kafka_orders.log.patience import Patience
from kafka_orders.log.producer import Copy, PlainProducer, Report
from kafka_orders.log.topics import TopicSpec, create_missing

CODECS = ("none", "lz4", "zstd")
#: A batch is sent when it is full; its size ends it no sooner, and the flush at the end no later.
_FULL = {"linger.ms": "60000", "batch.size": "100000000", "message.max.bytes": "100000000"}
_MOST = {"max.message.bytes": "100000000"}


@contextmanager
def broker(home: Path, *, progress: bool) -> Iterator[ClusterStatus]:
    """Run a Kafka of its own for a while; its data goes with it.

    Raises:
        LocalKafkaError: it does not start, or its packages are not installed.
    """
    cluster = Cluster(home, name=f"compare-{os.getpid()}", port=None)
    try:
        yield cluster.start(progress=progress)
    finally:
        cluster.stop()
        shutil.rmtree(cluster.folder, ignore_errors=True)


def measure(
    ways: Sequence[Way], running: ClusterStatus, batch: int, done: Callable[[], None]
) -> dict[str, dict[str, float]]:
    """Return bytes per order by way and compression; ``batch`` orders are sent at once.

    Raises:
        BrokerError: the broker did not take the orders.
    """
    connection = Connection(running.bootstrap_servers)
    topics = {(at, codec): f"way-{at}-{codec}" for at in range(len(ways)) for codec in CODECS}
    wanted = [TopicSpec(topic, 1, _MOST) for topic in topics.values()]
    create_missing(Admin(connection, Patience(limit=30)), wanted, None)
    found: dict[str, dict[str, float]] = {one.name: {} for one in ways}
    for (at, codec), topic in topics.items():
        properties = {**_FULL, "compression.type": codec, "batch.num.messages": str(batch)}
        _send(Connection(running.bootstrap_servers, properties), topic, ways[at])
        found[ways[at].name][codec] = _size(running.folder, topic) / len(ways[at].orders)
        done()
    return found


def _send(connection: Connection, topic: str, way: Way) -> None:
    """Send all orders as `produce` does: the id is the key, headers where the format has some."""
    refused: list[str] = []

    def told(report: Report) -> None:
        if report.error is not None:
            refused.append(report.error)

    producer = PlainProducer(connection)
    for key, value in _records(way):
        producer.put(topic, Copy(key, value, way.headers), told)
    producer.finish(lambda _: None)
    if refused:
        raise BrokerError(f"{len(refused)} orders as {way.name} were not taken: {refused[0]}")


def _records(way: Way) -> Iterable[tuple[bytes | None, bytes]]:
    name = way.contract.id_field
    for order in way.orders:
        key = field_text(order, name) if name else None
        yield None if key is None else key.encode(), way.encode(order)


def _size(folder: Path, topic: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(f"{topic}-0/*.log"))
