"""A floor of speed: thread CPU of a transaction against the bare client's, both on the real broker."""

import time
import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafka_orders.log.clients import Connection
from kafka_orders.log.consumer import GroupToken
from kafka_orders.log.patience import Patience
from kafka_orders.log.transaction import Offset, OutRecord, TransactionalProducer

pytestmark = [pytest.mark.broker, pytest.mark.timed]

#: Measured here (2026-11-26, Python 3.11): 1.23 to 1.34. A fifth more than the median is red.
LIMIT = 1.56
ROUNDS = 30


def test_a_transaction_costs_little_more_than_the_bare_client(bootstrap: str) -> None:
    """As many failures and state records as 10,000 orders give."""
    name = "floor-" + uuid.uuid4().hex[:8]
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([NewTopic(name, 6)])[name].result(30)
    connection = Connection(bootstrap, session_timeout_ms=6000)
    headers: list[tuple[str, bytes | None]] = [(f"x-header-{n}", b"1234567890") for n in range(13)]
    failed = [OutRecord(name, n % 6, b"k" * 16, b"v" * 27, headers, ("error",)) for n in range(100)]
    out = failed + [OutRecord(name, n % 6, b"k" * 16, b"v" * 150) for n in range(36)]
    consumer = Consumer({**connection.member(name), "enable.auto.commit": False})
    consumer.subscribe([name])
    deadline = time.monotonic() + 30
    while not consumer.assignment() and time.monotonic() < deadline:
        consumer.poll(0.1)
    token = GroupToken(consumer.consumer_group_metadata(), 1, name)
    ours = TransactionalProducer(connection, f"{name}-ours", Patience(limit=30))
    ours.renew()
    bare = Producer(connection.transactional_producer(f"{name}-bare"))
    bare.init_transactions(30)

    def by_hand() -> None:
        bare.begin_transaction()
        for one in out:
            bare.produce(one.topic, one.value, one.key, one.partition, headers=one.headers or [])  # type: ignore[arg-type]
        bare.flush(10)
        bare.send_offsets_to_transaction([TopicPartition(name, 0, 7)], token.metadata, 10)
        bare.commit_transaction(10)

    work = {"ours": lambda: ours.transact(out, [Offset(name, 0, 7)], token), "bare": by_hand}

    def ratio() -> float:
        least = dict.fromkeys(work, float("inf"))
        for _ in range(ROUNDS):
            for kind, one in work.items():
                began = time.thread_time_ns()
                one()
                least[kind] = min(least[kind], time.thread_time_ns() - began)
        return least["ours"] / least["bare"]

    deadline = time.monotonic() + 20  # a neighbour on this processor may disturb a comparison
    seen = [ratio()]
    while min(seen) >= LIMIT and time.monotonic() < deadline:
        seen.append(ratio())
    ours.close()
    consumer.close()
    assert min(seen) < LIMIT, seen
