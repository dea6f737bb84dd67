"""server.properties of the embedded brokers: the production code, the settings of one machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Node:
    """One broker that is a controller too; ports on the loopback address."""

    number: int
    port: int
    controller_port: int
    folder: Path

    @property
    def data(self) -> Path:
        """Kafka's own folder: topics, offsets, the cluster's metadata."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """The broker's own log."""
        return self.folder / "server.log"

    @property
    def console_file(self) -> Path:
        """What the JVM itself prints: crashes above all."""
        return self.folder / "console.log"

    @property
    def properties_file(self) -> Path:
        """Its settings, written anew at every start."""
        return self.folder / "server.properties"


def bootstrap_servers(*nodes: Node) -> str:
    """Return what clients connect to."""
    return ",".join(f"{_HOST}:{node.port}" for node in nodes)


def properties(node: Node, nodes: list[Node]) -> dict[str, str]:
    """Return the settings of ``node`` in a cluster of ``nodes``."""
    settings: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{one.number}@{_HOST}:{one.controller_port}" for one in nodes),
        "listeners": f"PLAINTEXT://{_HOST}:{node.port},CONTROLLER://{_HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{_HOST}:{node.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        # Relative to the node's folder, where the JVM is started: log.dirs is a list divided by commas in a
        # Latin-1 file with escapes, so an absolute path may name another folder than the one it shows.
        "log.dirs": node.data.name,
        # Only our own topic settings apply, never those of a topic that a typo made.
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        # Of the new rebalance protocol, where the broker decides; by default 5 s and 45 s.
        "group.consumer.min.heartbeat.interval.ms": 500,
        "group.consumer.heartbeat.interval.ms": 500,
        "group.consumer.min.session.timeout.ms": 6000,
        "group.consumer.session.timeout.ms": 6000,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "log.cleaner.threads": 1,
        "log.cleaner.backoff.ms": 5000,
        "log.segment.delete.delay.ms": 1000,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "controlled.shutdown.max.retries": 1,
        # After a crash a broker is let in again once its old session has ended: by default 9 s, and as long
        # again before the others take over. One machine has no network to be patient with.
        "broker.session.timeout.ms": 5000,
        "broker.heartbeat.interval.ms": 1000,
    }
    settings |= _replication(copies=min(3, len(nodes)))
    if sys.platform == "win32":
        # Renaming open files fails there and stops the cleaner. Untested: no Windows machine was at hand.
        settings["log.cleaner.enable"] = "false"
    return {name: str(value) for name, value in settings.items()}


def _replication(copies: int) -> dict[str, str | int]:
    in_sync = max(1, copies - 1)
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 6,
        "offsets.retention.minutes": 60 * 24 * 365,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 6,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def write(node: Node, nodes: list[Node]) -> None:
    """Write the settings of ``node`` to its file."""
    lines = [f"{name}={value}" for name, value in properties(node, nodes).items()]
    node.folder.mkdir(parents=True, exist_ok=True)
    node.properties_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
