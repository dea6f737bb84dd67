"""A real Schema Registry: Apicurio, fetched once as the embedded Kafka is, verified, run on the same JRE.

`python -m tests.support.registry` runs one to try things with until Ctrl-C; what it is told is gone then.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.formats.base import Kind
from kafka_orders.local.checks import extra
from kafka_orders.local.java import java
from kafka_orders.sources import home_folder
from tests.support.waiting import eventually

#: Downloads are shared by all tests and kept between runs.
CACHE = Path(os.environ.get("KAFKA_ORDERS_CACHE") or home_folder() / "jars")
#: What is fetched, and what it has to be byte for byte.
GROUP, ARTIFACT, VERSION = "io.apicurio", "apicurio-registry-app", "3.3.3"
SIZE, SHA256 = 158_577_952, "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
#: The order with a product that is a number.
BROKEN: dict[Kind, str] = {
    "avro": '{"type":"record","name":"Order","namespace":"com.example.orders","fields":['
    '{"name":"orderId","type":"string"},{"name":"product","type":"int"},{"name":"price","type":"float"}]}',
    "json": '{"type":"object","title":"Order","properties":{"orderId":{"type":"string"},'
    '"product":{"type":"integer"},"price":{"type":"number"}},"required":["orderId","product","price"]}',
    "protobuf": 'syntax = "proto3"; package com.example.orders; message Order {'
    " optional string orderId = 1; optional int32 product = 2; optional float price = 3; }",
}
_BOOT_SECONDS = 90.0


def ensure(cache: Path) -> Path:
    """Return the folder of the unpacked registry, having fetched it if it is not there.

    Raises:
        LocalKafkaError: it cannot be had, or is not the one that is wanted.
    """
    folder = cache / f"{ARTIFACT}-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "registry.lock"):  # the two workers of a test run share one download
        if not folder.is_dir():
            archive = _fetched(cache)
            incoming = cache / "registry-incoming"
            shutil.rmtree(incoming, ignore_errors=True)
            with tarfile.open(archive) as packed:
                packed.extractall(incoming, filter="data")
            incoming.replace(folder)  # it has its name only once it is whole
            archive.unlink()
    return next(folder.rglob("quarkus-run.jar")).parent


def _fetched(cache: Path) -> Path:
    context = extra("jgo.maven").MavenContext(repo_cache=cache / "registry-artifact", timeout=20)
    try:
        found = context.project(GROUP, ARTIFACT).at_version(VERSION).artifact(classifier="all", packaging="tar.gz")
        path: Path = found.resolve()
    except Exception as error:  # the fetcher's own, of many kinds: all mean that it is not here
        raise LocalKafkaError(
            f"the schema registry cannot be downloaded: {type(error).__name__}: {error}"
        ) from error
    with path.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if (size := path.stat().st_size) != SIZE or seen != SHA256:
        path.unlink()
        raise LocalKafkaError(
            f"the schema registry that was downloaded has {size} bytes and SHA-256 {seen}, not {SIZE} and {SHA256}"
        )
    return path


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Registry:
    """A registry on this machine; ``durable`` ones keep their schemas over a restart."""

    code: Path
    folder: Path
    durable: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where Confluent's API is."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def start(self) -> Registry:
        """Start it, on its old port if it had one, and wait for its answer."""
        self.port = self.port or free_port()
        told = {
            "quarkus.http.host": "127.0.0.1", "quarkus.http.port": str(self.port),
            "quarkus.management.host": "127.0.0.1", "quarkus.management.port": str(free_port()),
            "apicurio.rules.global.compatibility": "BACKWARD",
        }  # fmt: skip
        if self.durable:
            told["apicurio.datasource.url"] = f"jdbc:h2:file:{self.folder / 'schemas'}"
        command = [str(java()), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                   *(f"-D{name}={value}" for name, value in told.items()), "-jar", "quarkus-run.jar"]  # fmt: skip
        with (self.folder / "registry.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.code, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        eventually(self._answers, _BOOT_SECONDS, f"a schema registry at {self.url}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "registry.log").read_text(errors="replace")[-2000:]
        with contextlib.suppress(OSError, urllib.error.URLError):
            return bool(urllib.request.urlopen(f"{self.url}/subjects", timeout=2).status == 200)
        return False

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: from now on nobody answers."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None


def made(cache: Path, folder: Path, *, durable: bool = False) -> Registry:
    """Return a registry that runs; skip where it cannot be had, on a laptop."""
    import pytest

    try:
        code = ensure(cache)
    except LocalKafkaError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no schema registry here: {error}")
    folder.mkdir(parents=True, exist_ok=True)
    return Registry(code, folder, durable).start()


def main() -> None:
    """Run a registry, print its URL, and end it with this process's own end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        running = Registry(ensure(CACHE), Path(folder))
        try:
            print(running.start().url, flush=True)
            while running.process and running.process.poll() is None:
                time.sleep(0.5)
        finally:
            running.stop()


if __name__ == "__main__":
    main()
