"""Other people's clients, in ``tests/fixtures/registry``: how their programs are built and run."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.javabuild import compile_java
from kafka_orders.formats.base import Kind
from kafka_orders.local import jars
from kafka_orders.local.java import java
from kafka_orders.sources import home_folder

FOLDER = Path(__file__).resolve().parents[1] / "fixtures/registry"
_WITHIN = 90.0

Order = Mapping[str, Any]

#: A price that is no float, letters beyond ASCII, and the zeros that Protobuf may leave out.
ORDERS: list[Order] = [
    {"orderId": "o-1", "product": "Tea", "price": 4.5},
    {"orderId": "o-2", "product": "Käse €", "price": 0.1},
    {"orderId": "o-3", "product": "", "price": 0},
]
#: kafkajs leaves the message's place out (its issue 152), so nobody else can read its Protobuf.
UNREADABLE = {("node", "protobuf")}


def rounded(order: Order) -> tuple[str, str, bytes]:
    """Return an order with its price in 32 bits, as Avro and Protobuf have it."""
    return order["orderId"], order["product"], struct.pack("<f", order["price"])


class Place(NamedTuple):
    """Where orders of a kind stand: broker, the registry's address without any API's path, topic."""

    kind: Kind
    bootstrap: str
    registry: str
    topic: str
    #: The schema's file; for Java's Protobuf, protoc's descriptors of it.
    schema: Path


@dataclass(frozen=True, slots=True)
class Client:
    """A program that writes orders to a topic and reads them; ``versions``: of the libraries that matter."""

    name: str
    writer: str
    versions: Mapping[str, str]
    command: tuple[str, ...]
    folder: Path

    def write(self, place: Place, orders: Sequence[Order]) -> None:
        """Have it write orders.

        Raises:
            RuntimeError: its own words.
        """
        self._run("write", place, 0, "".join(f"{json.dumps(one)}\n" for one in orders))

    def read(self, place: Place, count: int) -> list[Order]:
        """Return the first orders of a topic, as it reads them.

        Raises:
            RuntimeError: its own words.
        """
        return [json.loads(line) for line in self._run("read", place, count).splitlines()]

    def _run(self, what: str, place: Place, count: int, given: str = "") -> str:
        told = (place.kind, place.bootstrap, place.registry, place.topic, str(place.schema), str(count))
        try:
            done = subprocess.run(
                [*self.command, what, *told], cwd=self.folder, input=given, encoding="utf-8",
                capture_output=True, timeout=_WITHIN, check=True,
            )  # fmt: skip
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = str(error.stderr or error).strip()
            raise RuntimeError(f"{self.name} does not {what} {place.topic}: {said[-2000:]}") from error
        return done.stdout


def java_client(folder: Path) -> Client:
    """Return the program in Java, compiled into ``folder``; its jars are locked, and fetched once.

    Raises:
        LocalKafkaError: they can't be had.
    """
    used = [*jars.locked(FOLDER / "java/java.lock.toml"), *jars.locked()]
    paths = jars.ensure(jars.cache_folder(home_folder()), progress=True, jars=used)
    compiler = next(one for one in paths if one.name.startswith("ecj-"))
    compile_java(FOLDER / "java", folder, compiler, [one for one in paths if one != compiler])
    of = ("apicurio-registry-serde-kafka-common", "avro", "protobuf-java", "kafka-clients")
    versions = {one.artifact: one.version for one in used if one.artifact in of}
    command = (str(java()), "-XX:TieredStopAtLevel=1", f"@{folder / 'java.args'}", "RegistryOrders")
    return Client("java", "java/RegistryOrders.java", versions, command, folder)


def node_client(folder: Path) -> Client | None:
    """Return the program in JavaScript, its packages installed as locked; None where node is not there."""
    if shutil.which("node") is None or (npm := shutil.which("npm")) is None:
        return None
    shutil.copytree(FOLDER / "node", folder)
    subprocess.run([npm, "ci", "--ignore-scripts", "--silent"], cwd=folder, check=True)
    versions = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return Client("node", "node/orders.mjs", versions, ("node", "orders.mjs"), folder)


def go_client(folder: Path) -> Client | None:
    """Return the program in Go, built of its modules as locked; None where Go is not there."""
    if (go := shutil.which("go")) is None:
        return None
    subprocess.run([go, "build", "-o", folder / "orders", "."], cwd=FOLDER / "go", check=True)
    lines = (FOLDER / "go/go.mod").read_text(encoding="utf-8").splitlines()
    needed = [line.split() for line in lines if line.startswith("\t") and "indirect" not in line]
    versions: dict[str, str] = dict(needed)
    return Client("go", "go/main.go", versions, (str(folder / "orders"),), folder)
