"""The proxy of the fault tests, on the real broker; and that the late EndTxn is a hazard, not a story."""

from __future__ import annotations

import random
import socket
import struct
import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.faults import frames
from tests.faults.proxy import Proxy
from tests.support.waiting import eventually
from tests.support.witness import read_all

pytestmark = pytest.mark.broker

#: As the product has it.
BACKOFF_SECONDS = 0.5


@pytest.fixture
def proxy(bootstrap: str) -> Iterator[Proxy]:
    with Proxy(bootstrap) as made:
        yield made


@pytest.fixture
def topic(bootstrap: str) -> str:
    name = "proxy-" + uuid.uuid4().hex[:8]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, 1)]).values():
        future.result(10)
    return name


def client(proxy: Proxy, **extra: object) -> dict[str, object]:
    """Return a client's configuration; a reconnect backoff grows to 10 s where connections break often."""
    backoff = {
        "retry.backoff.ms": BACKOFF_SECONDS * 1000,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
    }
    return {"bootstrap.servers": proxy.bootstrap, "log_level": 0, **backoff, **extra}


def transactional(proxy: Proxy, name: str) -> Producer:
    producer = Producer(client(proxy, **{"transactional.id": name, "transaction.timeout.ms": 10_000}))
    producer.init_transactions(10)
    return producer


def write(producer: Producer, topic: str, value: bytes) -> None:
    producer.begin_transaction()
    producer.produce(topic, value)
    assert producer.flush(10) == 0


def commit_seconds(producer: Producer) -> float:
    started = time.monotonic()
    producer.commit_transaction(10)
    return time.monotonic() - started


def await_committed(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Wait for the records: a commit is told before its markers are written."""
    eventually(lambda: [one.value() for one in read_all(bootstrap, topic)] == values, 10, f"{len(values)} records")


def addresses(seen: dict[int, object]) -> set[str]:
    return {f"{one.host}:{one.port}" for one in seen.values()}  # type: ignore[attr-defined]


def test_clients_stay_behind_it_and_get_all(proxy: Proxy, bootstrap: str, topic: str) -> None:
    producer = transactional(proxy, topic)
    value = random.Random(1).randbytes(900_000)
    producer.begin_transaction()
    for _ in range(20):
        producer.produce(topic, value)
    assert producer.flush(20) == 0
    assert proxy.in_transaction(topic)
    producer.commit_transaction(10)
    assert not proxy.in_transaction(topic)
    await_committed(proxy.bootstrap, topic, [value] * 20)
    assert addresses(producer.list_topics(timeout=10).brokers) == set(proxy.bootstrap.split(","))
    admin = AdminClient({"bootstrap.servers": proxy.bootstrap})
    described = admin.describe_cluster().result(10)
    assert {f"{one.host}:{one.port}" for one in described.nodes} == set(proxy.bootstrap.split(","))
    assert sum(n for (key, _), n in proxy.requests.items() if key == frames.END_TXN) == 1
    assert not proxy.unread


def test_a_late_end_commits_what_its_client_aborts(proxy: Proxy, bootstrap: str, topic: str) -> None:
    """The hazard, without an error anywhere: records of the next transaction stand, though it is aborted."""
    producer, group = transactional(proxy, topic), Consumer(client(proxy, **{"group.id": topic}))
    late = proxy.late(topic, into_next=True, before=frames.ADD_OFFSETS)
    write(producer, topic, b"first")
    assert commit_seconds(producer) > 0.75 * BACKOFF_SECONDS
    assert late.fired.is_set()
    assert late.answer_code is None
    write(producer, topic, b"second")
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 7)], group.consumer_group_metadata(), 10)
    assert late.result(5) == 0
    producer.abort_transaction(10)
    await_committed(bootstrap, topic, [b"first", b"second"])
    assert group.committed([TopicPartition(topic, 0)], 10)[0].offset < 0
    group.close()


@pytest.mark.parametrize("after", [frames.ADD_PARTITIONS, frames.TXN_OFFSET_COMMIT])
def test_a_late_end_is_accepted_in_the_next_transaction(
    proxy: Proxy, bootstrap: str, topic: str, after: int
) -> None:
    producer, group = transactional(proxy, topic), Consumer(client(proxy, **{"group.id": topic}))
    late = proxy.late(topic, into_next=True, after=after)
    write(producer, topic, b"first")
    producer.commit_transaction(10)
    write(producer, topic, b"second")
    if after == frames.TXN_OFFSET_COMMIT:
        metadata = group.consumer_group_metadata()
        producer.send_offsets_to_transaction([TopicPartition(topic, 0, 7)], metadata, 10)
        assert late.result(5) == 0
        await_committed(bootstrap, topic, [b"first", b"second"])
        producer.commit_transaction(10)  # which it is told again
    else:
        assert late.result(5) == 0
        with pytest.raises(KafkaException) as raised:  # the partition is no longer in a transaction
            producer.commit_transaction(10)
        assert raised.value.args[0].code() == KafkaError.INVALID_TXN_STATE
    group.close()


def test_a_late_end_is_refused_after_a_new_epoch(proxy: Proxy, bootstrap: str, topic: str) -> None:
    """The remedy; and `times`: each is caught when the one before has been released."""
    late = proxy.late(topic, into_next=True, times=2)
    for _ in range(2):
        producer = transactional(proxy, topic)
        write(producer, topic, b"one")
        assert commit_seconds(producer) > 0.75 * BACKOFF_SECONDS
    producer = transactional(proxy, topic)
    write(producer, topic, b"one")
    producer.commit_transaction(10)
    assert late.answers == [47, 47]
    assert late.count == 2
    await_committed(bootstrap, topic, [b"one"] * 3)


def test_a_late_end_can_be_released_by_hand(proxy: Proxy, topic: str) -> None:
    producer = transactional(proxy, topic)
    late = proxy.late(topic)
    write(producer, topic, b"one")
    producer.commit_transaction(10)
    transactional(proxy, topic)
    assert late.answers == []
    assert late.release() == 47
    assert late.release() is None


def test_a_lost_answer_is_asked_for_again(proxy: Proxy, bootstrap: str, topic: str) -> None:
    producer = transactional(proxy, topic)
    lost = proxy.lose_answer(prefix=topic)
    write(producer, topic, b"one")
    assert commit_seconds(producer) > 0.75 * BACKOFF_SECONDS
    assert lost.wait(1)
    await_committed(bootstrap, topic, [b"one"])


def test_the_outcome_is_unknown_while_answers_are_muted(proxy: Proxy, bootstrap: str, topic: str) -> None:
    producer = transactional(proxy, topic)
    lost = proxy.lose_answer(prefix=topic, mute_seconds=3)
    write(producer, topic, b"one")
    with pytest.raises(KafkaException) as raised:
        producer.commit_transaction(2)
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT
    assert lost.count == 1
    await_committed(bootstrap, topic, [b"one"])


def test_a_held_request_takes_longer(proxy: Proxy, topic: str) -> None:
    producer = transactional(proxy, topic)
    held = proxy.hold(frames.END_TXN, 0.3, topic)
    write(producer, topic, b"one")
    assert commit_seconds(producer) > 0.3
    assert held.count == 1


def test_producing_goes_on_after_breaks_and_on_a_bad_network(proxy: Proxy, bootstrap: str, topic: str) -> None:
    producer = Producer(client(proxy, **{"enable.idempotence": True, "retry.backoff.ms": 50, "linger.ms": 0}))

    def send(first: int) -> None:
        for number in range(first, first + 100):
            producer.produce(topic, b"%d" % number)
        assert producer.flush(20) == 0

    send(0)
    assert proxy.cut().count > 0
    send(100)
    down = proxy.down(0.3)
    started = time.monotonic()
    send(200)
    assert down.wait(1)
    assert time.monotonic() - started > 0.3
    slow = proxy.slow(0.01, 0.2, 0.05, for_seconds=60, chance=random.Random(7), reset_chance=0.02)
    number = 300
    while slow.count < 3:
        send(number)
        number += 100
    slow.stop()
    await_committed(bootstrap, topic, [b"%d" % one for one in range(number)])


def test_what_cannot_be_read_fails_the_test(bootstrap: str) -> None:
    """A request of a transaction in a version that the proxy does not know."""
    with pytest.raises(AssertionError, match="version 99 of api 26"):
        with Proxy(bootstrap) as proxy:
            with socket.create_connection(("127.0.0.1", int(proxy.bootstrap.rpartition(":")[2]))) as raw:
                raw.sendall(struct.pack(">ihhih", 10, frames.END_TXN, 99, 1, -1))
                assert raw.recv(1) == b""
            eventually(lambda: proxy.unread, 5)
