"""The embedded Kafka: real starts, stops, crashes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local import Cluster, jars, record
from kafka_orders.log.probe import broker_count
from tests.conftest import CACHE
from tests.support.pipeline import ROOT
from tests.support.witness import Journal, read_all

pytestmark = [pytest.mark.broker, pytest.mark.skipif(
    bool(os.environ.get("KAFKA_ORDERS_TEST_BOOTSTRAP")), reason="another Kafka was asked for"
)]  # fmt: skip


@pytest.fixture(autouse=True)
def shared_downloads(monkeypatch):
    monkeypatch.setenv("KAFKA_ORDERS_CACHE", str(CACHE))


@pytest.fixture
def cluster(tmp_path: Path):
    made = Cluster(tmp_path, port=None)
    yield made
    made.stop()


def topic(servers: str, name: str) -> str:
    client = AdminClient({"bootstrap.servers": servers})
    for future in client.create_topics([NewTopic(name, 1)]).values():
        future.result()
    return name


def test_data_survive_stop_crash_and_start(cluster: Cluster) -> None:
    """Started, stopped, killed: acknowledged records stay; a second start changes nothing."""
    first = cluster.start(progress=False)
    assert cluster.start(progress=False) == first
    journal = Journal(first.bootstrap_servers, topic(first.bootstrap_servers, "kept"))
    journal.send(100)
    journal.finish()
    assert cluster.stop()
    assert cluster.status() is None
    assert not cluster.stop()

    again = cluster.start(progress=False)
    assert again.bootstrap_servers == first.bootstrap_servers
    assert len(read_all(again.bootstrap_servers, "kept")) == 100

    cluster.kill()
    assert cluster.status() is None
    after_crash = cluster.start(progress=False)
    assert len(read_all(after_crash.bootstrap_servers, "kept")) == 100


def test_a_start_ends_with_a_pipe_behind_it(tmp_path: Path) -> None:
    """`broker start | cat` returns: the JVM inherits nothing; status and stop answer with exit codes."""
    env = {**os.environ, "KAFKA_ORDERS_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kafka_orders", "broker", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    started = run("start", "--port", "0")
    try:
        assert started.returncode == 0, started.stderr
        assert "bootstrap_servers" in started.stdout
        assert run("status", "-o", "json").returncode == 0
    finally:
        assert run("stop").returncode == 0
    assert run("status").returncode == 1


def test_a_taken_port_is_refused_and_nothing_starts(tmp_path: Path) -> None:
    """With the program that has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cluster = Cluster(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(LocalKafkaError, match="is taken"):
            cluster.start(progress=False)
    assert cluster.status() is None


def test_a_broker_that_dies_at_start_shows_its_log(tmp_path: Path) -> None:
    """The error names the file and ends with its last lines."""
    cluster = Cluster(tmp_path, port=None)
    cluster.start(progress=False)
    cluster.stop()
    meta = tmp_path / "kafka/broker-1/data/meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(LocalKafkaError, match="has ended") as failed:
        cluster.start(progress=False)
    assert "server.log" in str(failed.value)
    assert "7" in str(failed.value).split("server.log", 1)[1]
    assert cluster.status() is None


def test_a_format_that_was_killed_is_finished(tmp_path: Path) -> None:
    """The id is stored before the format, so the same cluster comes out of it."""
    cluster = Cluster(tmp_path, port=None)
    half = tmp_path / "kafka/broker-1/data/__cluster_metadata-0"
    half.mkdir(parents=True)
    (half / "00000000000000000000-0000000000.checkpoint").write_bytes(b"half")
    cluster_id = record.new_cluster_id()
    record.Record(cluster_id, [1], [2]).save(tmp_path / "kafka")
    try:
        cluster.start(progress=False)
        assert cluster_id in (half.parent / "meta.properties").read_text()
    finally:
        cluster.stop()


@pytest.mark.skipif(os.name == "nt", reason="no SIGSTOP")
def test_a_broker_that_hangs_is_left_alone_and_can_be_stopped(cluster: Cluster) -> None:
    """A start that began nothing ends nothing; stop kills what does not listen; the record lost is no harm."""
    status = cluster.start(progress=False)
    journal = Journal(status.bootstrap_servers, topic(status.bootstrap_servers, "hung"))
    journal.send(10)
    journal.finish()
    os.kill(status.pids[0], signal.SIGSTOP)
    with pytest.raises(LocalKafkaError, match="left running"):
        cluster.start(progress=False, ready_within=1.0)
    assert cluster.status() == status
    assert cluster.stop(timeout=1.0)
    assert cluster.status() is None
    (cluster.folder / "cluster.json").unlink()
    assert len(read_all(cluster.start(progress=False).bootstrap_servers, "hung")) == 10


def test_a_corrupt_jar_is_fetched_again(tmp_path: Path) -> None:
    """The real download: one flipped byte in the smallest of the locked jars."""
    smallest = min(jars.locked(), key=lambda jar: jar.size)
    jars.ensure(CACHE, progress=False)
    path = smallest.path(tmp_path)
    path.parent.mkdir(parents=True)
    shutil.copy(smallest.path(CACHE), path)
    held = path.read_bytes()
    path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    jars.ensure(tmp_path, progress=False, jars=[smallest])
    assert path.read_bytes() == held


@pytest.mark.slow
def test_three_brokers_survive_the_death_of_one(tmp_path: Path) -> None:
    """Replication 3, min.insync 2: two take acknowledged writes, the third comes back by the same command."""
    cluster = Cluster(tmp_path, brokers=3, port=None, heap_mb=256)
    try:
        status = cluster.start(progress=False)
        assert len(status.pids) == 3
        journal = Journal(status.bootstrap_servers, topic(status.bootstrap_servers, "three"))
        cluster.kill(2)
        journal.send(50)
        journal.finish()
        assert len(journal.acknowledged) == 50
        began = time.monotonic()
        back = cluster.start(progress=False)
        assert len(back.pids) == 3
        assert time.monotonic() - began < 60
        servers = back.bootstrap_servers.split(",")
        assert [broker_count(one, 5.0) for one in servers] == [3, 3, 3]  # each itself, the killed one too
        with pytest.raises(LocalKafkaError, match="holds the data of 3"):
            Cluster(tmp_path, brokers=1, port=None).start(progress=False)
    finally:
        cluster.stop()
