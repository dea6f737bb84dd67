"""The folder of the embedded Kafka: whose process, whose data, what may be removed."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local import Cluster, checks, java, properties, record
from kafka_orders.local.properties import Node
from kafka_orders.local.record import Record, Running


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(1, 9092, 19092, tmp_path / "broker-1")
    made.data.mkdir(parents=True)
    return made


def meta(folder: Path, number: int, cluster_id: str) -> None:
    data = folder / f"broker-{number}/data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text(f"version=1\ncluster.id={cluster_id}\nnode.id={number}\n")


def test_a_broker_is_known_after_the_clock_was_set() -> None:
    """The start time of every process moves then; an argument that only it has tells."""
    program = [sys.executable, "-c", "print(1, flush=True); input()", "-Dfolder=/somewhere/broker-1"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # until it runs, its arguments cannot be seen
        created = psutil.Process(process.pid).create_time() - 3600
        assert Running(process.pid, created, "-Dfolder=/somewhere/broker-1").process() is not None
        assert Running(process.pid, created, "-Dfolder=/somewhere/broker").process() is None
        assert Running(process.pid, created).process() is None
        process.communicate(b"\n")


def test_stop_leaves_a_recycled_pid_alone(tmp_path: Path) -> None:
    """The pid of a dead broker may by now be anybody's: here, the test's own."""
    held = Record("id", [1], [2], formatted=True, running={1: Running(os.getpid(), 1.0, "-Dnobody")})
    held.save(tmp_path / "kafka")
    cluster = Cluster(tmp_path)
    assert cluster.status() is None
    cluster.kill()
    assert not cluster.stop()
    assert record.load(tmp_path / "kafka").running == {}


def test_a_record_of_an_older_version_is_read(tmp_path: Path) -> None:
    """Without the mark: its broker is still known by its time."""
    (tmp_path / "cluster.json").write_text(
        '{"cluster_id": "x", "ports": [1], "controller_ports": [2], "formatted": true,'
        ' "running": {"1": {"pid": 5, "created": 6.5}}}'
    )
    assert record.load(tmp_path).running == {1: Running(5, 6.5)}


def test_data_without_a_record_keep_their_identity(tmp_path: Path) -> None:
    """A new cluster id would lock the brokers out of their own data."""
    assert record.stored_cluster(tmp_path) is None
    meta(tmp_path, 1, "abc")
    meta(tmp_path, 2, "abc")
    assert record.stored_cluster(tmp_path) == ("abc", 2)
    meta(tmp_path, 3, "other")
    with pytest.raises(LocalKafkaError, match="data of 2 clusters"):
        record.stored_cluster(tmp_path)


def test_topics_without_an_identity_are_refused(node: Node) -> None:
    """Formatted anew, Kafka would delete them as strays; what a killed format leaves is let through."""
    (node.data / "__cluster_metadata-0").mkdir()
    (node.data / "meta.properties.tmp").touch()
    java._refuse_foreign(node)
    (node.data / "orders-0").mkdir()
    with pytest.raises(LocalKafkaError, match=r"orders-0.*nothing was deleted"):
        java._refuse_foreign(node)
    (node.data / "meta.properties").touch()
    java._refuse_foreign(node)
    assert (node.data / "orders-0").is_dir()


def test_a_cluster_id_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """One random id in 64 begins with a dash, and Kafka's format tool would refuse it."""
    drawn = [uuid.UUID(bytes=b"\xf8" + bytes(15)), uuid.UUID(bytes=b"\x08" + bytes(15))]
    monkeypatch.setattr(uuid, "uuid4", lambda: drawn.pop(0))
    assert record.new_cluster_id() == "CAAAAAAAAAAAAAAAAAAAAA"
    assert drawn == []


def test_another_number_of_brokers_is_refused(tmp_path: Path) -> None:
    """With the number that the data are for."""
    Record("id", [1, 2, 3], [4, 5, 6], formatted=True).save(tmp_path / "kafka")
    with pytest.raises(LocalKafkaError, match="--brokers 3"):
        Cluster(tmp_path).start(progress=False)


def test_a_home_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file where the folder should be: no traceback."""
    (tmp_path / "home").write_text("")
    with pytest.raises(LocalKafkaError, match=r"home.*cannot be used"):
        Cluster(tmp_path / "home").start(progress=False)


def test_ports_of_one_cluster_never_meet(tmp_path: Path) -> None:
    """A wanted port may be one that an earlier start gave to a controller."""
    port = checks.free_ports(1)[0]
    held = Record("id", [port + 1], [port])
    settled = Cluster(tmp_path, port=port)._settled(held)
    assert settled.ports == [port]
    assert settled.controller_ports != [port]


def test_settings_hold_no_path(tmp_path: Path) -> None:
    """A properties file is Latin-1 and log.dirs a list: a path in it would name another folder."""
    node = Node(1, 9092, 19092, tmp_path / "Jürgen, #1")
    properties.write(node, [node])
    written = node.properties_file.read_bytes()
    assert b"log.dirs=data\n" in written
    assert written.isascii()


def test_memory_for_the_whole_heap_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a broker will grow into, not what it begins with; likewise the disk."""
    free = type("Memory", (), {"available": 711 * 2**20})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(LocalKafkaError, match=r"only 711 MB.*about 712"):
        checks.check_room(tmp_path, 1, 512)
    checks.check_room(tmp_path, 1, 256)
    usage = type("Usage", (), {"free": 499 * 2**20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LocalKafkaError, match=r"only 499 MB.*KAFKA_ORDERS_HOME"):
        checks.check_room(tmp_path, 1, 256)


@pytest.mark.skipif(os.name == "nt", reason="there are no zombies")
def test_an_ended_process_whose_parent_does_not_look_is_not_waited_for() -> None:
    """A broker that an application has started, stopped by the command: it waited 40 s for a zombie."""
    program = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"{program}; print(p.pid, flush=True); time.sleep(99)"], stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        began = time.monotonic()
        java.end([child], 30)
        assert time.monotonic() - began < 10
        assert child.status() == psutil.STATUS_ZOMBIE
    finally:
        parent.kill()
        parent.communicate()
