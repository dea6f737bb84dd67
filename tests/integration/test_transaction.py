"""The transactional producer and the guards around it, on a real broker."""

from __future__ import annotations

import statistics
import struct
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafka_orders.domain.errors import FencedError, TransactionFailedError
from kafka_orders.domain.records import Slot
from kafka_orders.log import transaction
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import Connection
from kafka_orders.log.consumer import GroupConsumer, GroupToken, read_metadata
from kafka_orders.log.patience import Patience
from kafka_orders.log.transaction import Offset, OutRecord, TransactionalProducer
from tests.support.waiting import eventually
from tests.support.witness import read_all

pytestmark = pytest.mark.broker


class Bench:
    """A topic, a group member that owns it, and a producer."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap, self.name = bootstrap, "tx-" + uuid.uuid4().hex[:8]
        self.connection = Connection(bootstrap, session_timeout_ms=6000)
        client = AdminClient({"bootstrap.servers": bootstrap})
        small = NewTopic(self.name, 1, config={"max.message.bytes": "2000"})
        for future in client.create_topics([small]).values():
            future.result()
        self.admin = Admin(self.connection, Patience(limit=30))
        self.consumer = GroupConsumer(self.connection, self.name, self.name, lambda _: None, lambda _: None)
        eventually(lambda: self.consumer.fetch(1, 0.1) or self.consumer.owned, 30)
        self.slot = Slot(self.name, 0)

    def producer(self, identity: str = "") -> TransactionalProducer:
        made = TransactionalProducer(self.connection, identity or self.name, Patience(limit=30))
        made.renew()
        return made

    def records(self, *values: str) -> list[OutRecord]:
        return [OutRecord(self.name, 0, b"k", value.encode()) for value in values]

    def values(self) -> list[str]:
        return [(one.value() or b"").decode() for one in read_all(self.bootstrap, self.name)]

    def committed(self) -> int | None:
        return self.admin.committed(self.name, [self.slot])[self.slot]


@pytest.fixture
def bench(bootstrap: str):
    made = Bench(bootstrap)
    yield made
    made.consumer.close()


def test_records_and_offsets_commit_together(bench: Bench) -> None:
    """Visible with read_committed, offset stored, ordinary ends not suspect."""
    producer = bench.producer()
    took = producer.transact(bench.records("a", "b"), [Offset(bench.name, 0, 7)], bench.consumer.token())
    assert (bench.values(), bench.committed()) == (["a", "b"], 7)
    assert took < transaction.SUSPECT_SECONDS
    assert producer.suspect == ""


def test_a_slow_end_makes_the_producer_suspect_and_the_old_epoch_dead(bench: Bench, monkeypatch) -> None:
    """Recycled before the next begin: whatever the old one still sends is refused by the broker."""
    producer = bench.producer()
    monkeypatch.setattr(transaction, "SUSPECT_SECONDS", 0.0)
    producer.transact(bench.records("a"), [Offset(bench.name, 0, 1)], bench.consumer.token())
    assert "took" in producer.suspect
    old = producer._current
    assert old is not None
    monkeypatch.setattr(transaction, "dispose", lambda _producer: None)
    assert producer.renew()
    old.begin_transaction()
    old.produce(bench.name, b"late", partition=0)
    with pytest.raises(KafkaException):
        old.commit_transaction(10)
    monkeypatch.undo()
    producer.transact(bench.records("b"), [Offset(bench.name, 0, 2)], bench.consumer.token())
    assert (bench.values(), bench.committed()) == (["a", "b"], 2)


def test_each_transaction_can_have_an_epoch_of_its_own(bench: Bench, monkeypatch) -> None:
    """`--epoch per-transaction`: whatever an earlier transaction still sends is refused by the broker."""
    producer = TransactionalProducer(bench.connection, bench.name, Patience(limit=30), renew_always=True)
    assert producer.renew()
    monkeypatch.setattr(transaction, "dispose", lambda _producer: None)
    used: list[Producer] = []
    for number in range(4):
        producer.transact(bench.records(str(number)), [Offset(bench.name, 0, number + 1)], bench.consumer.token())
        assert producer.suspect == ""
        assert not producer.renew()
        assert producer._current is not None
        used.append(producer._current)
    for old in used[:-1]:
        old.begin_transaction()
        old.produce(bench.name, b"late", partition=0)
        with pytest.raises(KafkaException):
            old.commit_transaction(10)
    producer.transact(bench.records("last"), [Offset(bench.name, 0, 5)], bench.consumer.token())
    assert (bench.values(), bench.committed()) == (["0", "1", "2", "3", "last"], 5)


def test_new_epochs_are_quick_and_leave_nothing_behind(bench: Bench) -> None:
    """Never the client's half second for a coordinator not yet looked for; threads and connections stay flat."""
    producer = TransactionalProducer(bench.connection, bench.name, Patience(limit=30), renew_always=True)
    producer.renew()
    took, threads = [], []
    for number in range(60):
        before = time.monotonic()
        producer.transact(bench.records("x"), [Offset(bench.name, 0, number + 1)], bench.consumer.token())
        took.append(time.monotonic() - before)
        threads.append(len(list(Path("/proc/self/task").glob("*"))))
    assert statistics.median(took) < 0.3
    assert max(threads[30:]) <= max(threads[:30]) + 10


def test_a_suspect_producer_cannot_be_used(bench: Bench) -> None:
    """renew() comes first."""
    producer = bench.producer()
    producer.distrust("test")
    with pytest.raises(ValueError, match="renew"):
        producer.transact([], [], bench.consumer.token())


def test_a_refused_record_undoes_the_whole_transaction_and_is_blamed(bench: Bench) -> None:
    """Too large for the topic: nothing of it is visible, the offset stays, the next batch goes through."""
    producer = bench.producer()
    with pytest.raises(TransactionFailedError) as failed:
        producer.transact(bench.records("ok", "x" * 5000), [Offset(bench.name, 0, 1)], bench.consumer.token())
    assert failed.value.blames_records
    producer.renew()
    assert (bench.values(), bench.committed()) == ([], None)
    producer.transact(bench.records("ok"), [Offset(bench.name, 0, 1)], bench.consumer.token())
    assert bench.values() == ["ok"]


def test_what_a_crash_left_open_is_aborted_by_the_next_epoch(bench: Bench) -> None:
    """Same transactional.id: no wait for transaction.timeout.ms."""
    crashed = Producer({"bootstrap.servers": bench.bootstrap, "transactional.id": bench.name})
    crashed.init_transactions(10)
    crashed.begin_transaction()
    crashed.produce(bench.name, b"half", partition=0)
    crashed.flush(10)
    bench.producer().transact(bench.records("whole"), [], bench.consumer.token())
    assert bench.values() == ["whole"]


def test_two_processes_with_one_id_end_with_a_clear_refusal(bench: Bench) -> None:
    """Fenced twice: exit 4, and nothing doubled."""
    one, two = bench.producer(), bench.producer()
    with pytest.raises(TransactionFailedError) as failed:
        one.transact(bench.records("1"), [], bench.consumer.token())
    assert not failed.value.blames_records
    one.renew()
    one.transact(bench.records("2"), [], bench.consumer.token())
    with pytest.raises(TransactionFailedError):
        two.transact(bench.records("3"), [], bench.consumer.token())
    two.renew()
    with pytest.raises(FencedError, match="INSTANCE_ID") as refused:
        one.transact(bench.records("4"), [], bench.consumer.token())
    assert refused.value.exit_code == 4
    assert bench.values() == ["2"]


def test_the_coordinator_accepts_what_the_guard_forbids(bench: Bench) -> None:
    """Metadata of nobody (generation -1) moves a live group's offsets: hence the guard in token()."""
    producer = bench.producer()
    producer.transact(bench.records("a"), [Offset(bench.name, 0, 5)], bench.consumer.token())
    raw = bytes(bench.consumer.token().metadata)
    generation, member = read_metadata(raw)
    assert generation >= 0
    assert member
    nobody = b"CGMDv2:" + struct.pack("=i", -1) + raw[11:].replace(member.encode(), b"")
    assert read_metadata(nobody) == (-1, "")
    raw_producer = Producer({"bootstrap.servers": bench.bootstrap, "transactional.id": "nobody-" + bench.name})
    raw_producer.init_transactions(10)
    raw_producer.begin_transaction()
    raw_producer.send_offsets_to_transaction([TopicPartition(bench.name, 0, 1)], nobody, 10)
    raw_producer.commit_transaction(10)
    assert bench.committed() == 1


def test_the_guard_refuses_when_we_are_no_member(bootstrap: str) -> None:
    """Before the first join there is nothing fenceable to send."""
    name = "guard-" + uuid.uuid4().hex[:8]
    consumer = GroupConsumer(Connection(bootstrap), name, name, lambda _: None, lambda _: None)
    with pytest.raises(TransactionFailedError, match="not a member"):
        consumer.token()
    consumer.close()


def test_an_old_generation_is_refused_and_nothing_commits(bench: Bench) -> None:
    """A zombie's offsets do not count."""
    producer = bench.producer()
    good = bench.consumer.token()
    raw = bytes(good.metadata)
    old = raw[:7] + struct.pack("=i", good.generation - 1 if good.generation else 99) + raw[11:]
    with pytest.raises(TransactionFailedError):
        producer.transact(bench.records("zombie"), [Offset(bench.name, 0, 9)], GroupToken(old, 0))
    producer.renew()
    assert (bench.values(), bench.committed()) == ([], None)
