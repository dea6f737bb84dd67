"""What only ``doctor`` asks of the brokers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import confluent_kafka
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from kafka_orders.domain.errors import BrokerError
from kafka_orders.domain.records import Slot
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import ClientFailure, Connection, dispose, kafka_error

_REQUEST_SECONDS = 10.0
_TRANSACTION_MS = 3_000
_LOOK_AGAIN_SECONDS = 0.25


class Layout(NamedTuple):
    """How a topic lies on the brokers; ``copies`` is the fewest that one of its partitions has."""

    partitions: int
    copies: int
    leaderless: int


class Cluster(NamedTuple):
    """The brokers: how many, the settings of one of them (empty: not told), and how topics lie on them."""

    brokers: int
    settings: Mapping[str, str]
    topics: Mapping[str, Layout]


class Clock(NamedTuple):
    """How far this machine's clock is ahead of the broker's, give or take the error."""

    ahead_ms: float
    error_ms: float


def client_versions() -> dict[str, str]:
    """Return the versions of confluent-kafka and of the librdkafka in it."""
    libraries = {"confluent-kafka": confluent_kafka.version(), "librdkafka": confluent_kafka.libversion()[0]}
    return {name: str(one) for name, one in libraries.items()}


def cluster(admin: Admin, topics: Iterable[str]) -> Cluster:
    """Return what the brokers are, and how those of the topics that exist lie on them."""

    def question(client: AdminClient) -> Cluster:
        found, laid = client.list_topics(timeout=_REQUEST_SECONDS), {}
        for name in set(topics) & set(found.topics):
            parts = found.topics[name].partitions.values()
            copies, leaderless = min(len(one.replicas) for one in parts), sum(one.leader < 0 for one in parts)
            laid[name] = Layout(len(parts), copies, leaderless)
        asked = ConfigResource(ConfigResource.Type.BROKER, str(min(found.brokers)))
        (future,) = client.describe_configs([asked], request_timeout=_REQUEST_SECONDS).values()
        try:
            told = {one.name: str(one.value) for one in future.result().values()}
        except KafkaException:  # a hosted cluster keeps them to itself
            told = {}
        return Cluster(len(found.brokers), told, laid)

    return admin.ask("describe the brokers", question)


def members(admin: Admin, groups: Iterable[str]) -> dict[str, int]:
    """Return how many members each group has; their coordinators have to answer for it."""

    def question(client: AdminClient) -> dict[str, int]:
        futures = client.describe_consumer_groups(list(groups), request_timeout=_REQUEST_SECONDS)
        return {name: len(future.result().members) for name, future in futures.items()}

    return admin.ask("describe the groups", question)


def held_back(admin: Admin, slots: Iterable[Slot], seconds: float) -> dict[Slot, int]:
    """Return the partitions whose last stable offset stands still for ``seconds`` before their end, and where.

    A transaction is open there for that long: readers of committed records get nothing beyond it.
    """
    held, deadline = admin.bounds(slots, committed_only=True), time.monotonic() + seconds
    while held and time.monotonic() < deadline:
        ends, now = admin.bounds(held), admin.bounds(held, committed_only=True)
        held = {slot: one for slot, one in held.items() if now[slot] == one and ends[slot].end > one.end}
        time.sleep(_LOOK_AGAIN_SECONDS if held else 0.0)
    return {slot: one.end for slot, one in held.items()}


def clock(connection: Connection, topic: str, transactional_id: str) -> Clock:
    """Compare the clocks by a record of an aborted transaction: the broker stamps it, and nobody ever reads it.

    Raises:
        BrokerError: the broker did not stamp it, or refused it.
    """
    config = connection.transactional_producer(transactional_id)
    # Should this process die in between, readers wait no longer than this.
    producer = Producer(
        {**config, "transaction.timeout.ms": _TRANSACTION_MS, "socket.timeout.ms": _TRANSACTION_MS}
    )
    stamped: list[Clock] = []

    def told(error: KafkaError | None, message: Message) -> None:
        kind, stamp = message.timestamp()
        if error is None and kind == TIMESTAMP_LOG_APPEND_TIME:
            spent = (time.time() - began) * 1000
            stamped.append(Clock(began * 1000 + spent / 2 - stamp, spent / 2))

    try:
        producer.init_transactions(_REQUEST_SECONDS)
        producer.begin_transaction()
        for _ in range(2):  # the first one also connects to the leader
            began = time.time()
            producer.produce(topic, b"", b"kafka-orders doctor", 0, told)
            producer.flush(_TRANSACTION_MS / 1000)
        producer.abort_transaction(_REQUEST_SECONDS)
    except ClientFailure as raised:
        raise BrokerError(kafka_error(raised).str()) from raised
    finally:
        dispose([producer])
    if not stamped:
        raise BrokerError(f"the broker put no time of its own on a record of {topic}")
    return stamped[-1]
