"""The embedded Kafka: real starts, stops, crashes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local import Cluster, jars, record
from kafka_orders.log.probe import broker_count
from tests.conftest import CACHE
from tests.support.pipeline import ROOT
from tests.support.waiting import eventually
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


def test_a_taken_port_is_refused_and_nothing_starts(tmp_path: Path) -> None:
    """With the program that has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cluster = Cluster(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(LocalKafkaError, match="is taken"):
            cluster.start(progress=False)
    assert cluster.status() is None


def test_a_start_that_was_killed_is_finished_and_a_death_is_shown(tmp_path: Path, cluster: Cluster) -> None:
    """Killed while the storage gets its id: the next start knows it; an error shows the log's last lines."""
    program = "from pathlib import Path; from kafka_orders.local import Cluster; import sys;"
    program += "Cluster(Path(sys.argv[1]), port=None).start(progress=False)"
    meta = cluster.folder / "broker-1/data/meta.properties"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=env) as starting:
        eventually(meta.parent.is_dir, 60)  # Kafka's tool has begun, and goes on without us
        starting.kill()
    cluster_id = record.load(cluster.folder).cluster_id
    cluster.start(progress=False)
    assert f"cluster.id={cluster_id}\n" in meta.read_text()
    cluster.stop()

    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(LocalKafkaError, match="has ended") as failed:
        cluster.start(progress=False)
    assert "server.log" in str(failed.value)
    assert "7" in str(failed.value).split("server.log", 1)[1]
    assert cluster.status() is None


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
        cluster.kill(2)
        assert len(cluster.status().pids) == 2
        assert len(cluster.start(progress=False).pids) == 3
        # Asked itself: the others name the dead one for seconds, and a start that believes them is too early.
        assert broker_count(status.bootstrap_servers.split(",")[1], 1.0) == 3

        journal = Journal(status.bootstrap_servers, topic(status.bootstrap_servers, "three"))
        cluster.kill(2)
        journal.send(50)
        journal.finish()
        assert len(journal.acknowledged) == 50
        with pytest.raises(LocalKafkaError, match="holds the data of 3"):
            Cluster(tmp_path, brokers=1, port=None).start(progress=False)
    finally:
        cluster.stop()
