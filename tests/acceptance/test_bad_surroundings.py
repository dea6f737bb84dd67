"""Brokers, topics, settings and neighbours as they should not be: exit codes and words, and what is counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_orders.formats.opening import order_codec
from kafka_orders.local import Cluster
from kafka_orders.views.verify import verify
from tests.conftest import CACHE
from tests.support.pipeline import Pipeline, Role
from tests.support.surroundings import add_partitions, create_topic, delete_topic, send
from tests.support.waiting import eventually
from tests.support.witness import Journal, account, encode, read_all, shards
from tests.unit.test_own_schemas import SALES

DECODE = order_codec().decode
CONSUME = ("-m", "kafka_orders", "consume")
NEW = {"value": encode({"orderId": "new", "product": "New", "price": 1.0}), "key": b"new"}


def sent_to(line: Pipeline, count: int) -> Journal:
    """Return a journal of orders that are in the topic."""
    sent = Journal(line.bootstrap, line.settings().topic)
    sent.send(count)
    sent.finish()
    return sent


def counted(line: Pipeline, number: int, within: float = 30.0) -> None:
    """Wait until this many orders are counted."""
    averages = line.settings().averages_topic
    eventually(lambda: sum(shards(line.bootstrap, averages)[0].values()) == number, within, f"{number} counted")


def exact(line: Pipeline, sent: Journal) -> None:
    """Nothing lost, nothing doubled, and the deep proof holds."""
    settings = line.settings()
    result = account(sent, settings.averages_topic, settings.dlq_topic)
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])
    assert verify(settings, DECODE, deep=True).findings == []


def counting(line: Pipeline, count: int = 100) -> tuple[Role, Journal]:
    """Return a worker that has counted some orders, and these."""
    assert line.run("topics", "create").returncode == 0
    sent = sent_to(line, count)
    role = line.start(*CONSUME)
    counted(line, count)
    return role, sent


def refused(line: Pipeline, *words: str) -> None:
    """A worker that starts ends with exit 4, these words, and the way out."""
    done = line.run("consume")
    assert done.returncode == 4, done.stderr
    assert all(word in done.stderr for word in (*words, "reset --yes")), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.broker
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_topic_created_anew_under_a_running_worker_is_noticed(line: Pipeline) -> None:
    """Longer than the old one, so that no offset is out of range: exit 4 within seconds, and at every start.

    The client itself goes on at the old offsets, without a word; it would skip what stands below them.
    """
    role, _ = counting(line)
    topic = line.settings().topic
    role.process.send_signal(signal.SIGSTOP)  # so that it never meets the new one empty
    delete_topic(line.bootstrap, topic)
    create_topic(line.bootstrap, topic)
    assert set(send(line.bootstrap, topic, *[{**NEW, "partition": n % 6} for n in range(600)])) == {""}
    role.process.send_signal(signal.SIGCONT)
    assert role.process.wait(20) == 4
    assert f"{topic}/" in role.text()
    assert "deleted and created again" in role.text()
    refused(line, "deleted and created again", topic)


@pytest.mark.broker
def test_another_number_of_averages_partitions_is_refused(line: Pipeline) -> None:
    """State would be looked for where it is not: exit 4, nothing counted again."""
    settings = line.settings()
    create_topic(line.bootstrap, settings.averages_topic, 4, cleanup_policy="compact",
                 message_timestamp_type="LogAppendTime")  # fmt: skip
    role, sent = counting(line)
    assert role.stop() == 0
    add_partitions(line.bootstrap, settings.averages_topic, 6)
    refused(line, settings.topic, "another number of partitions than 6")
    counted(line, 100)
    assert account(sent, settings.averages_topic, settings.dlq_topic).doubled == 0


@pytest.mark.broker
def test_averages_that_may_be_deleted_are_said_and_deleted_ones_refused(line: Pipeline) -> None:
    """`delete` for `compact` is a warning at the start; once retention took a part of the state, exit 4."""
    settings = line.settings()
    create_topic(line.bootstrap, settings.averages_topic, cleanup_policy="delete",
                 message_timestamp_type="LogAppendTime")  # fmt: skip
    role, _ = counting(line)
    assert role.stop() == 0
    assert f"topic {settings.averages_topic}: cleanup.policy is delete, should be compact" in role.text()
    checked = line.run("topics", "check")
    assert (checked.returncode, "cleanup.policy is delete" in checked.stdout) == (1, True)
    # Retention takes the oldest records: here all of one partition but its newest progress, which an idle
    # worker would have written again.
    state = [one for one in read_all(line.bootstrap, settings.averages_topic) if one.partition() == 0]
    progress = next(one for one in reversed(state) if (one.key() or b"").count(b"/") == 1)
    record = {"value": progress.value(), "key": progress.key(), "partition": 0}
    assert send(line.bootstrap, settings.averages_topic, record) == [""]
    client = AdminClient({"bootstrap.servers": line.bootstrap})
    gone = TopicPartition(settings.averages_topic, 0, (state[-1].offset() or 0) + 1)
    for future in client.delete_records([gone]).values():
        future.result(10)
    refused(line, "part of the state was deleted", "cleanup.policy has to be compact")


@pytest.mark.broker
def test_state_of_a_newer_version_is_refused(line: Pipeline) -> None:
    """Exit 4 and what to upgrade; nothing is handled."""
    role, sent = counting(line)
    assert role.stop() == 0
    settings = line.settings()
    found = [
        one for one in read_all(line.bootstrap, settings.averages_topic) if (one.key() or b"").count(b"/") == 1
    ]
    newer = {**json.loads(found[-1].value() or b""), "v": 2}
    record = {"value": json.dumps(newer).encode(), "key": found[-1].key(), "partition": found[-1].partition()}
    assert send(line.bootstrap, settings.averages_topic, record) == [""]
    refused(line, "newer kafka-orders", "record version 2", "Upgrade")
    send(line.bootstrap, settings.averages_topic, {**record, "value": found[-1].value()})
    again = line.start(*CONSUME)
    again.says("restored")
    sent.send(10)
    sent.finish()
    counted(line, 110)
    result = account(sent, settings.averages_topic, settings.dlq_topic)
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])
    assert again.stop() == 0


@pytest.mark.broker
def test_partitions_that_come_while_a_worker_runs_are_counted(line: Pipeline) -> None:
    """Six become nine, the retry topic has one for all bands: exact, and the narrow one is said."""
    settings = line.settings()
    create_topic(line.bootstrap, settings.retry_topic, 1, message_timestamp_type="LogAppendTime")
    line.extra.update(KAFKA="topic.metadata.refresh.interval.ms=500", FAIL="Item3", RETRY_DELAY_MS="100")
    assert line.run("topics", "create").returncode == 0
    sent = sent_to(line, 100)
    roles = [line.start("-m", "kafka_orders", verb) for verb in ("consume", "retry")]
    for role in roles:
        role.says("restored")
    add_partitions(line.bootstrap, settings.topic, 9)
    more = Journal(line.bootstrap, settings.topic, 2, sent.acknowledged, 100)
    more.send(200)
    more.finish()
    assert {one.partition() for one in read_all(line.bootstrap, settings.topic)} == set(range(9))

    def complete() -> bool:
        now = account(more, settings.averages_topic, settings.dlq_topic)
        return (now.lost, now.doubled, now.wrong_sums) == (0, 0, [])

    eventually(complete, 40, "all 300 counted or dead")
    exact(line, more)
    assert f"{settings.retry_topic} has 1 partitions, so short delays wait" in roles[0].text()
    assert [role.stop() for role in roles] == [0, 0]


@pytest.mark.broker
def test_of_two_processes_with_one_instance_id_one_is_refused(line: Pipeline, tmp_path: Path) -> None:
    """Locks in different homes do not tell: the broker does. Exit 4 for one, and nothing is doubled."""
    line.extra.update(INSTANCE_ID="twin")
    assert line.run("topics", "create").returncode == 0
    roles = [line.start(*CONSUME, HOME=str(tmp_path / name)) for name in ("one", "two")]
    for role in roles:
        role.says("assigned")
    sent = Journal(line.bootstrap, line.settings().topic)

    def one_has_ended() -> bool:
        sent.send(20)
        return any(role.process.poll() is not None for role in roles)

    eventually(one_has_ended, 40, "one of two ended")
    sent.finish()
    loser, winner = sorted(roles, key=lambda role: role.process.poll() is None)
    assert loser.process.wait(10) == 4
    assert "fenced twice" in loser.text()
    assert "KAFKA_ORDERS_INSTANCE_ID" in loser.text()
    counted(line, len(sent.acknowledged))
    exact(line, sent)
    assert winner.stop() == 0


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """A file system without room for one more file; only root can make one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr!r}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.broker
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_full_disk_for_locks_is_said(line: Pipeline, tmp_path: Path) -> None:
    """Exit 1, no order touched."""
    with full_disk(tmp_path / "full") as full:
        done = line.run("consume", HOME=str(full / "home"))
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "no order was touched" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.broker
def test_a_home_that_cannot_hold_locks_is_said(line: Pipeline, tmp_path: Path) -> None:
    """A file where the folder should be: exit 1, no order touched."""
    (tmp_path / "file").write_text("")
    done = line.run("consume", HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 1, done.stderr
    assert "no order was touched" in done.stderr
    assert "KAFKA_ORDERS_HOME" in done.stderr
    assert "Traceback" not in done.stderr


#: What is wrong -> (.env, TOML, environment, flags), and words of the message: the setting and the source.
WRONG: dict[str, tuple[bytes, bytes, dict[str, str], list[str], list[str]]] = {
    "dotenv-binary": (b"\xff\xfe\x00KAFKA", b"", {}, [], [".env", "cannot be read"]),
    "dotenv-unknown": (b"KAFKA_ORDERS_BATCH_SISE=5\n", b"", {}, [], [".env", "batch_sise", "batch_size?"]),
    "dotenv-value": (b"KAFKA_ORDERS_BATCH_SIZE=0\n", b"", {}, [], [".env", "batch_size", "'0'"]),
    "toml-broken": (b"", b"batch_size = \n[", {}, [], ["kafka-orders.toml", "cannot be read", "line 1"]),
    "toml-binary": (b"", b"\xff\x00\xfe", {}, [], ["kafka-orders.toml", "cannot be read"]),
    "toml-unknown": (b"", b"max_retrys = 3\n", {}, [], ["kafka-orders.toml", "max_retrys", "max_retries?"]),
    "toml-value": (b"", b'retry_jitter = "nan"\n', {}, [], ["kafka-orders.toml", "retry_jitter", "nan"]),
    "toml-kind": (b"", b"topic = 5\n", {}, [], ["kafka-orders.toml", "topic", "5"]),
    "environment-value": (b"", b"", {"BATCH_MS": "soon"}, [], ["environment", "batch_ms", "soon"]),
    "environment-choice": (b"", b"", {"GROUP_PROTOCOL": "share"}, [], ["environment", "group_protocol", "share"]),
    "flag-value": (b"", b"", {}, ["--max-retries", "-1"], ["command line", "max_retries", "-1"]),
    "flag-shared": (b"", b"", {}, ["--dlq-topic", "orders"], ["command line", "dlq_topic", "orders"]),
    "property-unknown": (b"", b"", {}, ["--kafka", "bogus=1"], ["kafka", "bogus", "config show"]),
    "property-value": (b"", b"", {"KAFKA": "linger.ms=x"}, [], ["kafka", "queue.buffering.max.ms", "config show"]),
    "property-pair": (b"", b"", {}, ["--kafka", "novalue"], ["command line", "kafka"]),
    "handler": (b"", b"", {"HANDLER": "no_such:thing"}, [], ["handler", "no_such"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_named_with_its_source(tmp_path: Path, name: str) -> None:
    """Exit 2 before any broker is asked; no traceback."""
    dotenv, toml, environment, flags, words = WRONG[name]
    (tmp_path / ".env").write_bytes(dotenv)
    (tmp_path / "kafka-orders.toml").write_bytes(toml)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KAFKA_ORDERS_")}
    ours = {"HOME": str(tmp_path), "BOOTSTRAP_SERVERS": "127.0.0.1:1", **environment}
    env = {**clean, "PYTHONPATH": str(Path(__file__).parents[2])}
    env |= {f"KAFKA_ORDERS_{key}": value for key, value in ours.items()}
    done = subprocess.run(
        [sys.executable, "-m", "kafka_orders", "consume", *flags],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.skipif(bool(os.environ.get("KAFKA_ORDERS_TEST_BOOTSTRAP")), reason="another Kafka was asked for")
def test_a_broker_that_goes_away_at_start_and_at_shutdown(tmp_path: Path, monkeypatch) -> None:
    """After the first contact a role waits and says so; asked to stop meanwhile, it ends; nothing is missing."""
    monkeypatch.setenv("KAFKA_ORDERS_CACHE", str(CACHE))
    cluster = Cluster(tmp_path, port=None)
    line = Pipeline(cluster.start(progress=False).bootstrap_servers, tmp_path)
    try:
        assert line.run("topics", "create").returncode == 0
        sent = sent_to(line, 100)
        role = line.start(*CONSUME)
        role.says("reads ")
        cluster.kill()
        role.says("waiting for the broker")
        cluster.start(progress=False)
        counted(line, 100, 60)
        sent.send(50)
        sent.finish()
        counted(line, 150)
        cluster.kill()
        began = time.monotonic()
        assert role.stop(within=25) == 0
        assert time.monotonic() - began < 15
        assert "Traceback" not in role.text()
        waiting = line.start("-m", "kafka_orders", "retry")
        waiting.says("waiting for the broker")
        assert waiting.stop() == 0
        cluster.start(progress=False)
        exact(line, sent)
    finally:
        line.close()
        cluster.stop()


@pytest.mark.parametrize("kind", ["avro", "json"])
def test_produce_says_that_a_schema_takes_no_such_orders(line: Pipeline, tmp_path: Path, kind: str) -> None:
    """Before anything is sent, without a traceback."""
    file = tmp_path / {"avro": "sale.avsc", "json": "sale.json"}[kind]
    schema = json.loads(SALES[kind])
    file.write_text(json.dumps(schema | {"required": ["shop"]} if kind == "json" else schema))
    done = line.run("produce", "--schema", str(file), "--count", "3", "--rate", "0")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "does not take the orders that are made here, with orderId, product, price" in done.stderr
    assert "Nothing was sent" in done.stderr
    assert read_all(line.bootstrap, line.settings().topic) == []
