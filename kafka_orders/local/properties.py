"""server.properties of the embedded brokers: the production code, the settings of one machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import resources
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
    common = resources.files("kafka_orders.local").joinpath("server.properties").read_text(encoding="utf-8")
    lines = [line.partition("=") for line in common.splitlines() if not line.startswith("#")]
    copies = min(3, len(nodes))
    in_sync = max(1, copies - 1)
    settings: dict[str, object] = {name: value for name, _, value in lines} | {
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{one.number}@{_HOST}:{one.controller_port}" for one in nodes),
        "listeners": f"PLAINTEXT://{_HOST}:{node.port},CONTROLLER://{_HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{_HOST}:{node.port}",
        # Relative to the node's folder, where the JVM is started: log.dirs is a list divided by commas in a
        # Latin-1 file with escapes, so an absolute path may name another folder than the one it shows.
        "log.dirs": node.data.name,
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
    }
    if sys.platform == "win32":
        # Renaming open files fails there and stops the cleaner. Untested: no Windows machine was at hand.
        settings["log.cleaner.enable"] = "false"
    return {name: str(value) for name, value in settings.items()}


def write(node: Node, nodes: list[Node]) -> None:
    """Write the settings of ``node`` to its file."""
    lines = [f"{name}={value}" for name, value in properties(node, nodes).items()]
    node.folder.mkdir(parents=True, exist_ok=True)
    node.properties_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
