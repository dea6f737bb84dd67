"""The compose files and the Dockerfile, as far as they can be tried where no Docker engine runs.

The schema, how the parts fit, and the real Kafka of each file's version with exactly the file's properties,
the four roles of the file on it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.formats.opening import order_codec
from kafka_orders.views.verify import Verdict, verify
from tests.conftest import CACHE
from tests.support.compose import ZOOKEEPER_PATHS, Stack, kafka_properties, same, settings_seen
from tests.support.pipeline import ROOT, Pipeline
from tests.support.waiting import eventually
from tests.support.witness import decode, read_all

FILES = ["docker-compose.yml", "compose.kraft.yaml"]
ROLES = ["main", "retry", "dlq", "producer"]
each_file = pytest.mark.parametrize("name", FILES)


def tool(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the virtual environment in the root of the project."""
    command = [str(Path(sys.executable).parent / name), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def copied() -> list[str]:
    """Return what the Dockerfile copies."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]


def test_the_compose_files_keep_to_the_schema() -> None:
    """The schema of the compose specification, offline."""
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *FILES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_has_no_lint() -> None:
    """Not even a hint."""
    done = tool("hadolint", "Dockerfile")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_build_gets_what_the_dockerfile_copies_and_nothing_else() -> None:
    """.dockerignore shuts everything out first."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())


def test_the_images_rule_for_properties() -> None:
    """A dot, an underscore, a dash; what is for the start script is left out."""
    given = {"KAFKA_LOG_DIRS": "/x", "KAFKA_A__B___C_D": 1, "KAFKA_OPTS": "-X", "CLUSTER_ID": "y"}
    assert kafka_properties(given) == {"log.dirs": "/x", "a_b-c.d": "1"}


@each_file
def test_the_parts_of_a_compose_file_fit(name: str, tmp_path: Path) -> None:
    """Addresses, ports and paths, which neither the schema nor a broker on this machine can tell."""
    services = Stack(ROOT / name, tmp_path).services
    kafka = services["kafka"]
    said = kafka_properties(kafka["environment"])
    bound = {one.partition("://")[0]: one.rpartition(":")[2] for one in said["listeners"].split(",")}
    told = dict(one.split("://") for one in said["advertised.listeners"].split(","))
    assert all(address.rpartition(":")[2] == bound[listener] for listener, address in told.items())
    assert set(told.values()) == {"localhost:9092", "kafka:29092"}
    assert kafka["container_name"] == "kafka"
    assert kafka["ports"] == ["127.0.0.1:9092:9092"]
    assert kafka["healthcheck"]["test"][-1] in told.values()
    assert [volume.partition(":")[2] for volume in kafka["volumes"]] == [said["log.dirs"]]
    if "zookeeper" in services:
        zookeeper = services["zookeeper"]
        port = zookeeper["environment"]["ZOOKEEPER_CLIENT_PORT"]
        assert (zookeeper["container_name"], zookeeper["ports"]) == ("zookeeper", [f"127.0.0.1:{port}:{port}"])
        assert said["zookeeper.connect"] == f"zookeeper:{port}"
        assert f"127.0.0.1:{port}" in zookeeper["healthcheck"]["test"]
        assert {volume.partition(":")[2] for volume in zookeeper["volumes"]} == set(ZOOKEEPER_PATHS.values())
        assert kafka["depends_on"] == {"zookeeper": {"condition": "service_healthy"}}
    for role in map(services.__getitem__, ROLES):
        settings = role["environment"]
        assert role["profiles"] == ["roles"]
        assert role["depends_on"] == {"kafka": {"condition": "service_healthy"}}
        assert settings["KAFKA_ORDERS_BOOTSTRAP_SERVERS"] == "kafka:29092"
        assert [volume.partition(":")[2] for volume in role["volumes"]] == [settings["KAFKA_ORDERS_HOME"]]
        assert f"ENV KAFKA_ORDERS_HOME={settings['KAFKA_ORDERS_HOME']}" in (ROOT / "Dockerfile").read_text()
        assert settings["KAFKA_ORDERS_INSTANCE_ID"]


@pytest.fixture(params=FILES)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """What `docker compose up -d` starts, on this machine."""
    made = Stack(ROOT / request.param, tmp_path / "stack")
    try:
        made.fetch(CACHE)
    except LocalKafkaError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Kafka here: {error}")
    try:
        made.start(CACHE)
        yield made
    finally:
        made.stop()


@dataclass
class Containers(Pipeline):
    """The roles in a folder that holds what the image holds, and no more."""

    @property
    def image(self) -> Path:
        """The folder."""
        return self.home / "image"

    @property
    def env(self) -> dict[str, str]:
        """Nothing of the clone can be imported."""
        return super().env | {"PYTHONPATH": str(self.image)}

    def build(self) -> None:
        """Copy what the Dockerfile copies."""
        self.image.mkdir()
        for name in copied():
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.image / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, self.image / name)


def deep(line: Pipeline) -> Verdict:
    """Return what `verify --deep` finds."""
    return verify(line.settings(), order_codec().decode, deep=True)


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.skipif(bool(os.environ.get("KAFKA_ORDERS_TEST_BOOTSTRAP")), reason="another Kafka was asked for")
def test_the_kafka_of_a_compose_file_runs_the_four_roles(stack: Stack, tmp_path: Path) -> None:
    """The broker takes every property as it stands there; the roles count, retry, bury, and stop when asked."""
    seen = settings_seen(stack.log_file.read_text(encoding="utf-8"))
    taken = {name: seen.get(name, "unknown to this Kafka") for name in stack.properties()}
    assert {name: taken[name] for name, value in stack.properties().items() if not same(value, taken[name])} == {}

    line = Containers(stack.here("kafka:29092"), tmp_path)
    line.build()
    own = {"BOOTSTRAP_SERVERS", "HOME"}
    try:
        roles = {}
        for role in ROLES:
            service = stack.services[role]
            given = {key.removeprefix("KAFKA_ORDERS_"): value for key, value in service["environment"].items()}
            line.extra = {key: value for key, value in given.items() if value is not None and key not in own}
            line.extra |= {"FAIL": "Item3", "RATE": "100", "COUNT": "60", "SEED": "3", "RETRY_DELAY_MS": "200"}
            roles[role] = line.start(*service["command"], cwd=line.image)
        assert roles["producer"].process.wait(60) == 0, roles["producer"].text()
        for role, words in (("main", "restored"), ("retry", "restored"), ("dlq", "watching")):
            roles[role].says(words)
        outside = Pipeline(stack.here("localhost:9092"), tmp_path, line.name)
        sent = [decode(one.value() or b"") for one in read_all(outside.bootstrap, outside.settings().topic)]
        doomed = sum(order["product"] == "Item3" for order in sent)
        failure = "error: Simulated temporary error"
        eventually(lambda: roles["dlq"].text().count(failure) >= doomed > 0, 60, f"{doomed} dead letters shown")
        found = eventually(lambda: (seen := deep(outside)).unread == seen.waiting == 0 and seen, 60, "all is done")
        assert found.findings == []
        assert (len(sent), found.counted, found.dead) == (60, 60 - doomed, doomed)
        assert roles["dlq"].text().count(failure) == doomed
        stops = [roles["main"].stop(number=signal.SIGTERM), roles["retry"].stop(), roles["dlq"].stop()]
        assert stops == [0, 0, 0]
    finally:
        line.close()
