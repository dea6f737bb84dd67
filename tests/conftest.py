"""The broker of the tests: the product's own embedded Kafka, or KAFKA_ORDERS_TEST_BOOTSTRAP."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest

from kafka_orders.domain.errors import LocalKafkaError
from tests.support import registry as registries
from tests.support.pipeline import Pipeline
from tests.support.registry import CACHE, Registry


def pytest_report_header() -> str:
    """Say what is tested on."""
    client = f"confluent-kafka {confluent_kafka.version()}"
    return f"{client}, librdkafka {confluent_kafka.libversion()[0]}, {platform.platform()}"


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap servers of a real Kafka, one for the session."""
    given = os.environ.get("KAFKA_ORDERS_TEST_BOOTSTRAP")
    if given:
        yield given
        return
    os.environ["KAFKA_ORDERS_CACHE"] = str(CACHE)
    from kafka_orders.local import Cluster

    cluster = Cluster(tmp_path_factory.mktemp("kafka"), port=None)
    try:
        status = cluster.start(progress=False)
    except LocalKafkaError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Kafka here: {error}")
    yield status.bootstrap_servers
    cluster.stop()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real schema registry; tests use subjects of their own.

    One for each worker of pytest-xdist: it is there in 3 to 5 seconds and takes 250 MB, too little to share.
    """
    running = registries.made(CACHE, tmp_path_factory.mktemp("registry"))
    yield running
    running.kill()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Registry]:
    """A registry of this test's own, which may be killed and comes back with what it had."""
    made = registries.made(CACHE, tmp_path / "durable", durable=True)
    yield made
    made.kill()


@pytest.fixture
def line(bootstrap: str, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline with topics and groups of its own; what it started ends with the test."""
    made = Pipeline(bootstrap, tmp_path)
    yield made
    made.close()
