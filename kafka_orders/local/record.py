"""What a cluster remembers in its folder: its identity for ever, its processes while they run."""

from __future__ import annotations

import base64
import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from kafka_orders.domain.errors import LocalKafkaError


@dataclass(slots=True)
class Running:
    """A process that was started; a recycled pid is told apart by the time it began.

    ``mark`` is an argument that only this broker has. It is looked at where the times differ: a
    system clock that was set moves every process's start time, and the broker would be lost.
    """

    pid: int
    created: float
    mark: str = ""

    def process(self) -> psutil.Process | None:
        """Return the process if it is still the one that was started, and alive."""
        try:
            found = psutil.Process(self.pid)
            is_same = abs(found.create_time() - self.created) < 1.0
            is_same = is_same or bool(self.mark and self.mark in found.cmdline())
            return found if is_same and found.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # another user's: not one of ours
            return None


@dataclass(slots=True)
class Record:
    """cluster.json: written whole or not at all."""

    cluster_id: str
    ports: list[int]
    controller_ports: list[int]
    formatted: bool = False
    running: dict[int, Running] = field(default_factory=dict)

    def alive(self) -> dict[int, psutil.Process]:
        """Return the processes that run, by the number of their broker."""
        return {number: found for number, one in sorted(self.running.items()) if (found := one.process())}

    def save(self, folder: Path) -> None:
        """Write it; a crash leaves the old one."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"cluster.json.{os.getpid()}"
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self), indent=2))
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the new name with nothing in it
        draft.replace(folder / "cluster.json")


def new_cluster_id() -> str:
    """Return a random cluster id as Kafka writes it: a UUID in URL-safe base64, not beginning with a dash."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass  # one in 64: Kafka's tools would take it for an option
    return made


def stored_cluster(folder: Path) -> tuple[str, int] | None:
    """Return cluster id and number of brokers of data without a record; None where there are no data.

    Raises:
        LocalKafkaError: the brokers' data belong to different clusters.
    """
    files = list(folder.glob("broker-*/data/meta.properties"))
    if not files:
        return None
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    ids = {line.partition("=")[2] for line in lines if line.startswith("cluster.id=")}
    if len(ids) != 1:
        raise LocalKafkaError(
            f"{folder} holds data of {len(ids)} clusters and no cluster.json that says which. Nothing was"
            " started, nothing was changed. Put the file back, or move the folder away to begin anew."
        )
    return ids.pop(), len(list(folder.glob("broker-*")))


def load(folder: Path) -> Record | None:
    """Return the record of a folder, or None where none was made yet.

    Raises:
        LocalKafkaError: the record cannot be read.
    """
    file = folder / "cluster.json"
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        running = {int(number): Running(**one) for number, one in held.pop("running").items()}
        return Record(**held, running=running)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocalKafkaError(
            f"{file} cannot be read: {error}. Your data lies beside it; move the folder away to begin anew."
        ) from error
