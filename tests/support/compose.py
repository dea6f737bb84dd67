"""The compose files without Docker: their environment as properties, the real Kafka of their version with these.

Ports, host names and paths are replaced, since tests share a machine; everything else is what the images get.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from kafka_orders.local import jars, java
from kafka_orders.local.checks import free_ports
from kafka_orders.local.properties import Node
from kafka_orders.log.probe import broker_count
from tests.support.pipeline import ROOT
from tests.support.waiting import eventually

#: Kafka of an image: its lock, None for the product's own.
LOCKS = {
    "confluentinc/cp-kafka:7.9.8": ROOT / "tests/support/kafka-3.9.lock.toml",
    "apache/kafka:4.4.0": None,
}

#: Both Kafka images leave these out: they are for the start script.
_NOT_PROPERTIES = {
    "KAFKA_VERSION", "KAFKA_OPTS", "KAFKA_JMX_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS", "KAFKA_TOOLS_LOG4J_LOGLEVEL",
}  # fmt: skip

#: cp-zookeeper has a table and ignores what is not in it; of that table, what somebody may want here.
_ZOOKEEPER = {
    "ZOOKEEPER_CLIENT_PORT": "clientPort",
    "ZOOKEEPER_TICK_TIME": "tickTime",
    "ZOOKEEPER_MAX_CLIENT_CNXNS": "maxClientCnxns",
    "ZOOKEEPER_SNAP_COUNT": "snapCount",
    "ZOOKEEPER_AUTOPURGE_SNAP_RETAIN_COUNT": "autopurge.snapRetainCount",
    "ZOOKEEPER_AUTOPURGE_PURGE_INTERVAL": "autopurge.purgeInterval",
    "ZOOKEEPER_ADMIN_ENABLE_SERVER": "admin.enableServer",
}

#: What cp-zookeeper writes whatever the environment says.
ZOOKEEPER_PATHS = {"dataDir": "/var/lib/zookeeper/data", "dataLogDir": "/var/lib/zookeeper/log"}


def kafka_properties(environment: dict[str, Any]) -> dict[str, str]:
    """Return server.properties by the rule of both images: `_` is a dot, `__` an underscore, `___` a dash."""
    found = {}
    for name, value in environment.items():
        if name.startswith("KAFKA_") and name not in _NOT_PROPERTIES:
            dotted = re.sub(r"(?<=[^_])_(?=[^_])", ".", name.removeprefix("KAFKA_").lower())
            found[dotted.replace("___", "-").replace("__", "_")] = str(value)
    return found


def zookeeper_properties(environment: dict[str, Any]) -> dict[str, str]:
    """Return zookeeper.properties by the table of cp-zookeeper."""
    unknown = environment.keys() - _ZOOKEEPER.keys()
    assert not unknown, f"cp-zookeeper ignores {sorted(unknown)}, or the table of this test lacks them"
    return ZOOKEEPER_PATHS | {_ZOOKEEPER[name]: str(value) for name, value in environment.items()}


def settings_seen(log: str) -> dict[str, str]:
    """Return every setting that a broker knows, with the value it took, as its log prints them at the start."""
    block = re.search(r"KafkaConfig values: \n((?:\t.*\n)+)", log)
    assert block, "the broker did not print its settings"
    return dict(re.findall(r"\t(\S+) = (.*)", block[1]))


def same(said: str, taken: str) -> bool:
    """Say whether a property and what the broker printed of it are the same; lists are printed in brackets."""
    return said == taken.removeprefix("[").removesuffix("]").replace(", ", ",")


@dataclass
class Stack:
    """One compose file and, once started, its processes on this machine."""

    file: Path
    folder: Path
    ports: dict[str, str] = field(default_factory=dict)
    processes: list[psutil.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = free_ports(8)  # all at once: one by one they may be the same
        self.services: dict[str, Any] = YAML(typ="safe").load(self.file)["services"]

    @property
    def kafka(self) -> dict[str, Any]:
        """The service `kafka`."""
        service: dict[str, Any] = self.services["kafka"]
        return service

    @property
    def log_file(self) -> Path:
        """The broker's log."""
        return self._node().log_file

    def here(self, value: str) -> str:
        """Return a value with every host:port replaced by a free port on the loopback address."""

        def moved(match: re.Match[str]) -> str:
            if match[1] not in self.ports:
                self.ports[match[1]] = str(self._free.pop())
            return f"127.0.0.1:{self.ports[match[1]]}"

        return re.sub(r"[\w.]*:(\d+)", moved, value)

    def properties(self) -> dict[str, str]:
        """Return the broker's properties on this machine."""
        found = {name: self.here(value) for name, value in kafka_properties(self.kafka["environment"]).items()}
        return found | {"log.dirs": "data"}  # relative, as the embedded broker's: no path can be misread

    def fetch(self, cache: Path) -> list[Path]:
        """Return the jars of the Kafka that the image holds."""
        return jars.ensure(cache, progress=False, jars=jars.locked(LOCKS[self.kafka["image"]]))

    def start(self, cache: Path) -> None:
        """Start what the file starts, and wait until the broker answers at both of its addresses."""
        node = self._node()
        node.folder.mkdir(parents=True)
        arguments = java.write_arguments(self.folder, self.fetch(cache))
        if "zookeeper" in self.services:
            self._start_zookeeper(arguments)
        node.properties_file.write_text(_lines(self.properties()), encoding="utf-8")
        if "CLUSTER_ID" in self.kafka["environment"]:
            java.format_storage(node, self.kafka["environment"]["CLUSTER_ID"], arguments)
        self.processes.append(java.launch(node, arguments, heap_mb=512))
        for address in self.properties()["advertised.listeners"].split(","):
            self._await(address.partition("://")[2])

    def stop(self) -> None:
        """End the processes, the broker first."""
        for process in reversed(self.processes):
            java.end([process], 20.0)

    def _node(self) -> Node:
        return Node(1, 0, 0, self.folder / "kafka")

    def _await(self, address: str) -> None:
        def answers() -> int:
            assert all(map(psutil.Process.is_running, self.processes)), self._tail()
            return broker_count(address, 0.5)

        eventually(answers, 60, f"a broker at {address}; its log ends with {self._tail()}")

    def _tail(self) -> str:
        files = [self.log_file, self._node().console_file]
        return "\n".join(
            file.read_text(encoding="utf-8", errors="replace")[-2000:] for file in files if file.is_file()
        )

    def _start_zookeeper(self, arguments: Path) -> None:
        folder = self.folder / "zookeeper"
        folder.mkdir()
        said = zookeeper_properties(self.services["zookeeper"]["environment"])
        port = self.here(f"zookeeper:{said['clientPort']}").partition(":")[2]
        said |= {"dataDir": "data", "dataLogDir": "log", "clientPort": port, "clientPortAddress": "127.0.0.1"}
        (folder / "zookeeper.properties").write_text(_lines(said), encoding="utf-8")
        with (folder / "console.log").open("wb") as console:
            process = subprocess.Popen(
                [str(java.java()), "-Xmx128m", "-XX:TieredStopAtLevel=1", f"@{arguments}",
                 "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zookeeper.properties"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        self.processes.append(psutil.Process(process.pid))


def _lines(properties: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())
