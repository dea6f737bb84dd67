"""Downloads of the embedded Kafka: what is broken, missing or full says so, and nothing half is kept."""

import errno
import hashlib
import threading
from pathlib import Path

import pytest

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local import jars
from kafka_orders.local.jars import Jar

PAYLOAD = b"jar" * 100


def jar(name: str = "thing") -> Jar:
    return Jar("org.example", name, "1.0", len(PAYLOAD), hashlib.sha256(PAYLOAD).hexdigest())


def write(wanted: Jar, repository: Path, payload: bytes = PAYLOAD) -> Path:
    path = wanted.path(repository)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path


def test_a_jar_has_its_name_only_once_it_is_verified(tmp_path: Path) -> None:
    """While it is fetched it lies elsewhere, so a killed download leaves nothing that looks whole."""
    seen = []

    def fetch(wanted: Jar, repository: Path) -> Path:
        path = write(wanted, repository)
        seen.append((repository, wanted.path(tmp_path).exists()))
        return path

    (tmp_path / "incoming/org").mkdir(parents=True)  # what a killed download left
    assert jars.ensure(tmp_path, progress=False, jars=[jar()], fetch=fetch) == [jar().path(tmp_path)]
    assert seen == [(tmp_path / "incoming", False)]
    assert jar().is_sound(tmp_path)
    assert not (tmp_path / "incoming").exists()


def test_a_corrupt_cached_jar_is_fetched_again(tmp_path: Path) -> None:
    """One flipped byte in the cache, of the right size: found by its SHA-256."""
    write(jar(), tmp_path, b"X" + PAYLOAD[1:])
    assert not jar().is_sound(tmp_path)
    jars.ensure(tmp_path, progress=False, jars=[jar()], fetch=write)
    assert jar().is_sound(tmp_path)


def test_a_full_disk_is_not_called_a_lost_connection(tmp_path: Path) -> None:
    """The message names the folder and what to do."""

    def full(_jar: Jar, _repository: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LocalKafkaError, match="Free some space") as failed:
        jars.ensure(tmp_path, progress=False, jars=[jar()], fetch=full)
    assert str(tmp_path) in str(failed.value)
    assert "connection" not in str(failed.value)


def test_a_missing_package_is_not_called_a_lost_connection(tmp_path: Path) -> None:
    """And it is looked for once, not twice per jar."""
    asked = []

    def without_jgo(wanted: Jar, _repository: Path) -> Path:
        asked.append(wanted)
        raise LocalKafkaError("the embedded Kafka needs: pip install 'kafka-orders[local]'")

    with pytest.raises(LocalKafkaError, match=r"^the embedded Kafka needs: pip install"):
        jars.ensure(tmp_path, progress=False, jars=[jar()], fetch=without_jgo)
    assert len(asked) == 1


def test_the_first_failure_ends_the_download(tmp_path: Path) -> None:
    """Without a connection, the other jars are not waited for one by one."""
    wanted, asked, never = [jar(f"thing-{n}") for n in range(45)], [], threading.Event()

    def unreachable(one: Jar, _repository: Path) -> Path:
        asked.append(one.artifact)
        if one is not wanted[0]:
            never.wait(0.2)  # as a silent server does: the first failure comes while others hang
        raise ConnectionError("no route")

    with pytest.raises(LocalKafkaError, match="no route"):
        jars.ensure(tmp_path, progress=False, jars=wanted, fetch=unreachable)
    assert len(set(asked)) < len(wanted)


def test_the_cache_is_a_folder_of_its_own_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KAFKA_ORDERS_CACHE, else `jars` in the home folder."""
    monkeypatch.delenv("KAFKA_ORDERS_CACHE", raising=False)
    assert jars.cache_folder(tmp_path) == tmp_path / "jars"
    monkeypatch.setenv("KAFKA_ORDERS_CACHE", str(tmp_path / "shared"))
    assert jars.cache_folder(tmp_path) == tmp_path / "shared"
