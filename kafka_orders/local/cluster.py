"""Starting and stopping a real Kafka on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local import jars, java, properties, record
from kafka_orders.local.checks import check_port, check_room, free_ports, is_free
from kafka_orders.local.properties import Node
from kafka_orders.local.record import Record, Running
from kafka_orders.log.probe import broker_count

_LOCK_SECONDS = 120.0
_PROBE_SECONDS = 0.5
#: Lines of a log that an error shows.
_TAIL = 12


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A running cluster; ``started_at`` in epoch seconds, of its oldest process.

    Fewer ``pids`` than ``log_files``: a broker is missing, and ``start`` brings it back.
    """

    bootstrap_servers: str
    pids: list[int]
    folder: Path
    log_files: list[Path]
    started_at: float


class Cluster:
    """One or more brokers whose data lives in ``home/name`` and survives stop and start."""

    def __init__(
        self,
        home: Path,
        *,
        name: str = "kafka",
        brokers: int = 1,
        port: int | None = 9092,
        heap_mb: int = 512,
    ) -> None:
        """Describe the cluster; nothing happens yet.

        Args:
            home: folder for data and downloads.
            name: folder of this cluster in ``home``.
            brokers: 1, or 3 for replication 3 and min.insync.replicas 2.
            port: of the first broker, the others follow; None or 0 takes free ones.
            heap_mb: heap of each JVM in MB.
        """
        self.folder = home.absolute() / name
        self._cache = jars.cache_folder(home.absolute())
        self._brokers, self._port, self._heap_mb = brokers, port or None, heap_mb

    def start(self, *, progress: bool = True, ready_within: float = 60.0) -> ClusterStatus:
        """Start what does not run yet and return once every broker answers a real request.

        Args:
            progress: a bar on stderr while jars are downloaded.
            ready_within: seconds from the start of the processes to their answers.

        Raises:
            LocalKafkaError: download, memory, disk, port or Kafka itself; what this call started is ended.
        """
        with self._locked():
            held = self._settled(record.load(self.folder))
            nodes = self._nodes(held)
            alive = held.alive()
            missing = [node for node in nodes if node.number not in alive]
            if missing:
                check_room(self.folder, len(missing), self._heap_mb)
                for node in missing:
                    check_port(node.port)
                self._launch(held, nodes, missing, progress=progress)
            self._await(held, nodes, missing, ready_within)
            return self._status(held, nodes)

    def stop(self, timeout: float = 30.0) -> bool:
        """Stop all brokers cleanly; False when none ran. The data stays."""
        with self._locked():
            held = record.load(self.folder)
            processes = list(held.alive().values()) if held else []
            java.end(processes, timeout)
            if held:
                held.running.clear()
                held.save(self.folder)
            return bool(processes)

    def status(self) -> ClusterStatus | None:
        """Return the running cluster, or None when no broker runs."""
        held = record.load(self.folder)
        return self._status(held, self._nodes(held)) if held and held.alive() else None

    def kill(self, number: int = 1) -> None:
        """SIGKILL one broker (from 1), as a crash would."""
        held = record.load(self.folder)
        if held and (process := held.alive().get(number)):
            process.kill()
            java.running_after([process], 10)

    def restart(self, number: int = 1, *, ready_within: float = 60.0) -> ClusterStatus:
        """Start one broker (from 1) anew: SIGKILL where it runs, then :meth:`start`, which awaits them all."""
        self.kill(number)
        return self.start(progress=False, ready_within=ready_within)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "cluster.lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout as error:
            raise LocalKafkaError(f"another start or stop of {self.folder} is under way; try again") from error
        except OSError as error:
            raise LocalKafkaError(
                f"the folder {self.folder} cannot be used: {error}. What is stored there was not deleted."
                " Free some space, or set KAFKA_ORDERS_HOME to a folder that can be written."
            ) from error

    def _settled(self, held: Record | None) -> Record:
        """Return the record with ports that can be used: stored ones where they are free."""
        if held is None:
            cluster_id, brokers = record.stored_cluster(self.folder) or (record.new_cluster_id(), self._brokers)
            free = free_ports(2 * brokers)
            held = Record(cluster_id, free[:brokers], free[brokers:])
        if len(held.ports) != self._brokers:
            raise LocalKafkaError(
                f"{self.folder} holds the data of {len(held.ports)} broker(s), {self._brokers} were asked for."
                f" Start it with --brokers {len(held.ports)}, or move the folder away to begin anew."
            )
        if held.alive():
            return held  # a part of it runs: its ports are in use, by itself
        if self._port:
            held.ports = [self._port + number for number in range(self._brokers)]
        elif not all(map(is_free, held.ports)):
            held.ports = free_ports(self._brokers)
        if not all(map(is_free, held.controller_ports)) or set(held.ports) & set(held.controller_ports):
            held.controller_ports = free_ports(self._brokers)
        return held

    def _nodes(self, held: Record) -> list[Node]:
        pairs = zip(held.ports, held.controller_ports, strict=True)
        return [
            Node(number, port, controller_port, self.folder / f"broker-{number}")
            for number, (port, controller_port) in enumerate(pairs, 1)
        ]

    def _launch(self, held: Record, nodes: list[Node], missing: list[Node], *, progress: bool) -> None:
        java.java()  # without it, nothing need be downloaded
        arguments = java.write_arguments(self.folder, jars.ensure(self._cache, progress=progress))
        for node in nodes:
            properties.write(node, nodes)
        if not held.formatted:
            held.save(self.folder)  # the id first: a format that a crash cuts short is finished with the same
            with ThreadPoolExecutor(len(nodes)) as pool:
                list(pool.map(lambda node: java.format_storage(node, held.cluster_id, arguments), nodes))
            held.formatted = True
            held.save(self.folder)
        for node in missing:
            process = java.launch(node, arguments, self._heap_mb)
            held.running[node.number] = Running(process.pid, process.create_time(), java.mark(node))
            held.save(self.folder)  # at once: a crash of ours must not leave a broker that nobody knows

    def _await(self, held: Record, nodes: list[Node], launched: list[Node], ready_within: float) -> None:
        deadline = time.monotonic() + ready_within
        # Each is asked itself: the others go on naming a broker for a while after its death.
        while waited := [node for node in nodes if _knows(node) < len(nodes)]:
            alive = held.alive()
            dead = [node for node in waited if node.number not in alive]
            if dead or time.monotonic() > deadline:
                node = (dead or waited)[0]
                why = "has ended" if dead else f"does not answer after {ready_within:g} s"
                java.end([alive[one.number] for one in launched if one.number in alive], 10.0)
                raise LocalKafkaError(
                    f"broker {node.number} {why}; {_what_is_left(launched, nodes)} The end of its log,"
                    f" {node.log_file}:\n{_tail(node)}"
                )

    def _status(self, held: Record, nodes: list[Node]) -> ClusterStatus:
        alive, logs = held.alive(), [node.log_file for node in nodes]
        began = min((held.running[number].created for number in alive), default=0.0)
        pids = [process.pid for process in alive.values()]
        return ClusterStatus(properties.bootstrap_servers(*nodes), pids, self.folder, logs, began)


def _knows(node: Node) -> int:
    return broker_count(properties.bootstrap_servers(node), _PROBE_SECONDS)


def _what_is_left(launched: list[Node], nodes: list[Node]) -> str:
    if not launched:
        return "it was left running: `kafka-orders broker stop` and then start may help, the data stays."
    others = "" if len(launched) == len(nodes) else ", the others still run"
    return f"what was started is stopped{others}, the data stays."


def _tail(node: Node) -> str:
    files = [file for file in (node.log_file, node.console_file) if file.is_file()]
    ends = [file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:] for file in files]
    return "\n".join(chain.from_iterable(ends))
