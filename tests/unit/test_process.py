"""What belongs to a process: identity, its handler's source, restarts of embedded brokers."""

import os
from pathlib import Path

import psutil
import pytest

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local import checks, jars, properties, record
from kafka_orders.local.jars import Jar
from kafka_orders.local.properties import Node
from kafka_orders.local.record import Record, Running
from kafka_orders.pipeline.instance import Identity
from kafka_orders.pipeline.reload import SourceWatch


def test_two_workers_take_two_slots(tmp_path: Path) -> None:
    """Unique while they live, the same again after a restart."""
    one, two = Identity("g", "", tmp_path), Identity("g", "", tmp_path)
    assert one.transactional_id != two.transactional_id
    one.release()
    assert Identity("g", "", tmp_path).transactional_id == one.transactional_id
    assert Identity("g", "box", tmp_path).transactional_id == "g-box-0"


def test_the_handlers_file_is_watched(tmp_path: Path) -> None:
    """A change counts once it compiles; a touch is none."""
    file, now = tmp_path / "handlers_under_watch.py", [0.0]
    file.write_text("def handle(order):\n    pass\n")
    space: dict = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    watch = SourceWatch(space["handle"], lambda: now[0])

    def look(text: str | None, stamp: int) -> bool:
        if text is not None:
            file.write_text(text)
        os.utime(file, ns=(stamp, stamp))
        now[0] += 1.0
        return watch.changed()

    assert watch.path == file
    assert not look(None, 1)
    assert not look("def handle(order:\n", 2)
    assert "cannot be used yet" in watch.complaint
    assert look("def handle(order):\n    raise RuntimeError\n", 3)


def test_a_handler_without_a_file_is_not_watched() -> None:
    """A builtin cannot change."""
    assert SourceWatch(len).path is None
    assert not SourceWatch(len).changed()


def jar(payload: bytes) -> Jar:
    import hashlib

    return Jar("org.example", "thing", "1.0", len(payload), hashlib.sha256(payload).hexdigest())


def fetcher(payloads: list[bytes]):
    def fetch(wanted: Jar, cache: Path) -> Path:
        path = wanted.path(cache)
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payloads.pop(0))
        return path

    return fetch


def test_the_locked_jars_are_kafka() -> None:
    """Each with its SHA-256, none twice, no host named."""
    locked = jars.locked()
    assert len({one.path(Path()) for one in locked}) == len(locked) > 40
    assert all(len(one.sha256) == 64 for one in locked)
    assert any(one.artifact == "kafka-server" and one.version == "4.4.0" for one in locked)
    assert "://" not in Path(jars.__file__).with_name("kafka.lock.toml").read_text()


def test_a_broken_download_is_fetched_again_and_then_named(tmp_path: Path) -> None:
    """One flipped byte is enough; what is cached and sound is not fetched."""
    good = b"jar" * 100
    left = [good[:-1] + b"X", good]
    assert jars.ensure(tmp_path, progress=False, jars=[jar(good)], fetch=fetcher(left)) == [
        jar(good).path(tmp_path)
    ]
    jars.ensure(tmp_path, progress=False, jars=[jar(good)], fetch=fetcher([]))
    jar(good).path(tmp_path).write_bytes(b"bad" * 100)
    with pytest.raises(LocalKafkaError, match=r"thing-1\.0\.jar.*SHA-256"):
        jars.ensure(tmp_path, progress=False, jars=[jar(good)], fetch=fetcher([b"bad" * 100, b"bad" * 100]))
    assert not jar(good).path(tmp_path).exists()


def test_a_failed_download_says_so(tmp_path: Path) -> None:
    """With the way out."""

    def offline(_jar: Jar, _cache: Path) -> Path:
        raise ConnectionError("no network")

    with pytest.raises(LocalKafkaError, match="no network") as failed:
        jars.ensure(tmp_path, progress=False, jars=[jar(b"x")], fetch=offline)
    assert "try again" in str(failed.value)


def test_a_recycled_pid_is_not_ours(tmp_path: Path) -> None:
    """Only a process that began at the recorded time is ever stopped."""
    me = psutil.Process()
    assert Running(me.pid, me.create_time()).process() == me
    assert Running(me.pid, me.create_time() - 100).process() is None
    assert Running(2**22 + 1, 0.0).process() is None


def test_the_record_survives(tmp_path: Path) -> None:
    """Written whole; damage is told, not repaired by guessing."""
    assert record.load(tmp_path) is None
    held = Record("id", [1], [2], formatted=True, running={1: Running(5, 6.5)})
    held.save(tmp_path)
    assert record.load(tmp_path) == held
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(LocalKafkaError, match="cannot be read"):
        record.load(tmp_path)


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, "1", "1"), (3, "3", "2")])
def test_replication_follows_the_number_of_brokers(tmp_path: Path, brokers, copies, in_sync) -> None:
    """Three brokers: replication 3, min.insync 2; loopback only; no auto-creation."""
    nodes = [Node(n, 9091 + n, 19091 + n, tmp_path / str(n)) for n in range(1, brokers + 1)]
    found = properties.properties(nodes[0], nodes)
    assert (found["default.replication.factor"], found["min.insync.replicas"]) == (copies, in_sync)
    assert (found["transaction.state.log.replication.factor"], found["transaction.state.log.min.isr"]) == (
        copies, in_sync,
    )  # fmt: skip
    assert found["auto.create.topics.enable"] == "false"
    assert "127.0.0.1" in found["listeners"]
    properties.write(nodes[0], nodes)
    assert "node.id=1" in nodes[0].properties_file.read_text()


def test_a_taken_port_is_named_with_its_owner() -> None:
    """By pid and program, and what to do."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalKafkaError, match=f"port {port} is taken") as refused:
            checks.check_port(port)
    assert f"pid {os.getpid()}" in str(refused.value)
    assert "--port 0" in str(refused.value)


def test_too_little_room_is_refused_with_figures(tmp_path: Path) -> None:
    """Memory that no machine has."""
    with pytest.raises(LocalKafkaError, match="MB of memory are free"):
        checks.check_room(tmp_path, 3, 10**9)
    checks.check_room(tmp_path, 1, 128)
    assert len(set(checks.free_ports(6))) == 6
