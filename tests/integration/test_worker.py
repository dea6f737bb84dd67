"""The worker on a real broker: restore, refusals, failed transactions, exactness."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from kafka_orders.domain.errors import RefusedError, StateMismatchError, TransactionFailedError, UncommittableError
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.avro import order_format
from kafka_orders.formats.opening import order_codec
from kafka_orders.log.transaction import TransactionalProducer
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.roles import Job, RoleName, run_role
from kafka_orders.pipeline.stop import Stop
from kafka_orders.views.verify import verify
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually
from tests.support.witness import Journal, account, encode, read_all

pytestmark = pytest.mark.broker

DECODE, ENCODE = order_codec().decode, order_format().encode


def work(
    settings: Settings, handler: Callable[..., Any] = lambda _: None, *, most: int = 10**9, idle_polls: int = 10,
    role: RoleName = "main",
) -> int:  # fmt: skip
    """Run a worker in this process until it is idle, or has committed ``most`` records; return how many."""
    stop, done, idle = Stop(), 0, 0

    def observer(batch, state) -> None:
        nonlocal done, idle
        done, idle = done + batch.size, 0 if batch.size or not state.progress else idle + 1
        if done >= most or idle >= idle_polls:
            stop.request()

    watchdog = threading.Timer(60, stop.request)
    watchdog.start()
    try:
        run_role(role, settings, Job(order_codec(), handler), observer, stop)
    finally:
        watchdog.cancel()
    return done


def journal(line: Pipeline, count: int) -> Journal:
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    made = Journal(line.bootstrap, settings.topic)
    made.send(count)
    made.finish()
    return made


def assert_exact(line: Pipeline, sent: Journal) -> None:
    settings = line.settings()
    result = account(sent, settings.averages_topic, settings.dlq_topic)
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])
    verdict = verify(settings, DECODE, deep=True)
    assert verdict.findings == []


def test_state_is_restored_and_work_goes_on(line: Pipeline) -> None:
    """Three lives of one worker count every order once."""
    sent = journal(line, 300)
    line.extra["BATCH_SIZE"] = "50"
    first = work(line.settings(), most=100)
    assert 100 <= first < 300
    sent.send(100)
    sent.finish()
    assert first + work(line.settings()) == 400
    assert_exact(line, sent)


def test_expired_offsets_start_at_the_state(line: Pipeline) -> None:
    """State but no committed offset: nothing is counted again."""
    sent = journal(line, 100)
    work(line.settings())
    client = AdminClient({"bootstrap.servers": line.bootstrap})
    for future in client.delete_consumer_groups([line.settings().group]).values():
        future.result()
    sent.send(10)
    sent.finish()
    assert work(line.settings()) == 10
    assert_exact(line, sent)


def test_offsets_without_state_are_refused(line: Pipeline) -> None:
    """The averages topic was emptied: exit 4 with the way out, and nothing changes."""
    journal(line, 50)
    work(line.settings())
    line.extra["AVERAGES_TOPIC"] = f"{line.name}-averages-new"
    with pytest.raises(StateMismatchError, match="state is gone") as refused:
        work(line.settings())
    assert "reset --yes" in str(refused.value)


def test_the_state_of_another_group_is_refused(line: Pipeline) -> None:
    """Two pipelines need two averages topics."""
    journal(line, 50)
    work(line.settings())
    line.extra["GROUP"] = f"{line.name}-other"
    with pytest.raises(RefusedError, match="belongs to group"):
        work(line.settings())


def test_a_recreated_topic_is_refused(line: Pipeline) -> None:
    """The log ends before what was handled already."""
    journal(line, 60)
    work(line.settings())
    settings = line.settings()
    from kafka_orders.log import topics
    from kafka_orders.log.admin import Admin
    from kafka_orders.log.patience import Patience
    from kafka_orders.pipeline.startup import connection_of

    topics.delete(Admin(connection_of(settings), Patience(limit=30)), [settings.topic], [])
    upkeep.create(settings, lambda _: None)
    with pytest.raises(StateMismatchError, match="created again"):
        work(line.settings())


@pytest.mark.parametrize("committed", [True, False])
def test_an_unknown_outcome_is_read_back_never_guessed(line: Pipeline, monkeypatch, committed) -> None:
    """A commit that ends in an error, whether or not it took effect: exact either way."""
    sent = journal(line, 200)
    line.extra["BATCH_SIZE"] = "40"
    real, calls = TransactionalProducer.transact, []

    def unsure(self, records, offsets, token):
        calls.append(1)
        if len(calls) % 3 == 2:
            if committed:
                real(self, records, offsets, token)
            self.distrust("simulated time-out")
            raise TransactionFailedError("simulated time-out")
        return real(self, records, offsets, token)

    monkeypatch.setattr(TransactionalProducer, "transact", unsure)
    work(line.settings())
    assert len(calls) > 4
    assert_exact(line, sent)


def test_a_record_that_no_topic_takes_stops_its_worker(line: Pipeline) -> None:
    """Exit 4, naming it; what came before it is committed, and it is not lost."""
    sent = journal(line, 30)
    settings = line.settings()
    client = AdminClient({"bootstrap.servers": line.bootstrap})
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    small = ConfigEntry("max.message.bytes", "300", incremental_operation=AlterConfigOpType.SET)
    for future in client.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, settings.dlq_topic, incremental_configs=[small])]
    ).values():
        future.result()
    producer = Producer({"bootstrap.servers": line.bootstrap})
    producer.produce(settings.topic, b"\xff" * 5000, b"poison", partition=0)
    producer.flush(10)
    with pytest.raises(UncommittableError, match=rf"{settings.topic}/0/\d+ .*max\.message\.bytes") as refused:
        work(line.settings(), idle_polls=300)
    assert refused.value.exit_code == 4
    result = account(sent, settings.averages_topic, settings.dlq_topic)
    assert (result.doubled, result.dead) == (0, 0)


def test_failures_travel_with_all_their_headers(line: Pipeline) -> None:
    """Foreign headers untouched, ours written once, the payload byte for byte."""
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    producer = Producer({"bootstrap.servers": line.bootstrap})
    good = encode({"orderId": "a", "product": "P", "price": 1.0})
    foreign = [("mine", b"\x00\xff"), ("mine", b"2"), ("retryCount", b"3"), ("null", None)]
    producer.produce(settings.topic, good, b"a", partition=1, headers=foreign)
    producer.produce(settings.topic, b"", b"empty", partition=1)
    producer.produce(settings.topic, None, b"gone", partition=1)
    producer.flush(10)

    def handler(order):
        raise ConnectionError("down")

    assert work(settings, handler) == 3
    (retried,) = read_all(line.bootstrap, settings.retry_topic)
    held = retried.headers()
    assert retried.value() == good
    assert retried.key() == b"a"
    assert retried.partition() in (2, 3)
    assert [one for one in held if one[0] in ("mine", "null")] == [
        ("mine", b"\x00\xff"),
        ("mine", b"2"),
        ("null", None),
    ]
    found = dict(held)
    assert len([name for name, _ in held if name == "retryCount"]) == 1
    assert (found["retryCount"], found["error"], found["x-exception-fqcn"]) == (
        b"1",
        b"down",
        b"builtins.ConnectionError",
    )
    assert (found["x-original-topic"], found["x-original-partition"], found["x-original-offset"]) == (
        settings.topic.encode(), b"1", b"0",
    )  # fmt: skip
    assert found["x-consumer-group"] == settings.group.encode()
    (dead,) = read_all(line.bootstrap, settings.dlq_topic)
    assert (dead.value() or b"", dict(dead.headers())["x-failure-stage"]) == (b"", b"decode")
    assert dict(dead.headers())["retryCount"] == b"0"
    verdict = verify(settings, DECODE, deep=True)
    assert (verdict.findings, verdict.waiting, verdict.dead, verdict.skipped) == ([], 1, 1, 1)


def test_verify_sees_what_a_stranger_adds_or_removes(line: Pipeline) -> None:
    """A doubled dead letter, and a lost one: exit 5 material."""
    sent = journal(line, 40)

    def handler(order):
        if order["product"] == "Item1":
            raise ValueError("bad")

    work(line.settings(), handler)
    assert_exact(line, sent)
    settings = line.settings()
    dead = read_all(line.bootstrap, settings.dlq_topic)[0]
    producer = Producer({"bootstrap.servers": line.bootstrap})
    producer.produce(settings.dlq_topic, dead.value(), dead.key(), headers=dead.headers())
    producer.flush(10)
    found = verify(settings, DECODE, deep=False)
    assert not found.holds
    assert "stands 2 times" in found.findings[0]
    assert line.run("verify").returncode == 5


def test_topics_are_created_as_the_design_says(line: Pipeline) -> None:
    """All five, once, whoever comes first; wrong settings are found and said."""
    settings = line.settings()
    assert len(upkeep.create(settings, lambda _: None)) == 5
    assert upkeep.create(settings, lambda _: None) == []
    assert upkeep.check(settings, lambda _: None) == []
    client = AdminClient({"bootstrap.servers": line.bootstrap})
    counts = {name: len(one.partitions) for name, one in client.list_topics(timeout=10).topics.items()}
    assert (counts[settings.topic], counts[settings.retry_topic], counts[settings.dlq_topic]) == (6, 8, 6)
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    wrong = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    for future in client.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, settings.averages_topic, incremental_configs=[wrong])]
    ).values():
        future.result()
    # The controller answers before each broker has applied the change.
    (said,) = eventually(lambda: upkeep.check(settings, lambda _: None), 10)
    assert "cleanup.policy is delete, should be compact" in said
    checked = line.run("topics", "check")
    assert (checked.returncode, "cleanup.policy" in checked.stdout) == (1, True)


def test_reset_brings_everything_back_to_empty(line: Pipeline) -> None:
    """And says what it would delete when not told --yes."""
    journal(line, 40)
    work(line.settings())
    refused = line.run("reset")
    assert (refused.returncode, line.settings().topic in refused.stderr) == (2, True)
    done = line.run("reset", "--yes")
    assert done.returncode == 0, done.stderr
    assert read_all(line.bootstrap, line.settings().topic) == []
    sent = journal(line, 20)
    assert work(line.settings()) == 20
    assert_exact(line, sent)


def test_under_light_load_transactions_close_early(line: Pipeline) -> None:
    """Orders that trickle in do not wait for the time that a backlog's batch may gather."""
    line.extra["BATCH_MS"] = "3000"
    sent, stop, sizes = journal(line, 1), Stop(), list[int]()

    def observer(batch, _state) -> None:
        sizes.extend([batch.size] * bool(batch.size))
        if sum(sizes) == 401:
            stop.request()

    job = Job(order_codec(), lambda _: None)
    thread = threading.Thread(target=run_role, args=("main", line.settings(), job, observer, stop))
    thread.start()
    try:
        eventually(lambda: len(sizes) == 1, 40, "the first is committed")
        pace = threading.Event()
        for _ in range(400):
            sent.send(1)
            pace.wait(0.01)
        sent.finish()
        thread.join(40)
    finally:
        stop.request()
    assert sum(sizes) == 401
    assert len(sizes) > 20
