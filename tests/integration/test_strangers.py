"""Somebody else's program: Kafka's own console consumer (Java) reads what the pipeline wrote."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from kafka_orders.local import jars
from kafka_orders.local.jars import Jar
from kafka_orders.local.java import java
from tests.conftest import CACHE
from tests.integration.test_worker import journal, work
from tests.support.pipeline import Pipeline
from tests.support.witness import decode

pytestmark = pytest.mark.broker

#: Kafka 4.3.1's tools and what they need of Kafka; the rest of their class path the broker's jars have.
TOOLS = [
    Jar("org.apache.kafka", "kafka-tools", "4.3.1", 698668,
        "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c"),
    Jar("org.apache.kafka", "kafka-tools-api", "4.3.1", 9072,
        "dcf6785742e0c8ab11a0fc09c62f1192e11e997dc629669a8db82aa40d933c31"),
    Jar("org.apache.kafka", "kafka-clients", "4.3.1", 10204032,
        "52501b7b47510c66f898871adaf6d2968ab7246561d44ced43643a8a587f0b36"),
    Jar("org.apache.kafka", "kafka-server-common", "4.3.1", 389964,
        "d7c719f749579a399011f0df7414de8a78f10f074a6122caa550fdb141351575"),
]  # fmt: skip


def console_consumer(line: Pipeline, topic: str, most: int) -> str:
    """Return what Kafka's console consumer prints of a topic: headers, key, value."""
    others = [one for one in jars.locked() if one.group != "org.apache.kafka"]
    paths = jars.ensure(CACHE, progress=False, jars=TOOLS) + jars.ensure(CACHE, progress=False, jars=others)
    command = [
        str(java()), "-cp", os.pathsep.join(map(str, paths)), "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "--bootstrap-server", line.bootstrap, "--topic", topic, "--from-beginning", "--max-messages", str(most),
        "--timeout-ms", "15000", "--isolation-level", "read_committed",
        "--formatter-property", "print.key=true", "--formatter-property", "print.headers=true",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return done.stdout.decode(errors="surrogateescape")


def test_kafkas_own_consumer_reads_orders_dead_letters_and_averages(line: Pipeline) -> None:
    """Keys, headers, JSON state: nothing of it needs our library."""
    sent = journal(line, 30)
    settings = line.settings()

    def handler(order):
        if order["product"] == "Item2":
            raise ValueError("no Item2 today")

    work(settings, handler)
    order_id, order = next(iter(sent.acknowledged.items()))
    orders = console_consumer(line, settings.topic, 30)
    assert orders.count("NO_HEADERS\t") == 30
    assert f"\t{order_id}\t" in orders
    payload = orders.split(f"\t{order_id}\t", 1)[1].split("\nNO_HEADERS", 1)[0]
    if payload.isascii():
        assert decode(payload.rstrip("\n").encode()) == order

    dead = console_consumer(
        line, settings.dlq_topic, sum(one["product"] == "Item2" for one in sent.acknowledged.values())
    )
    assert "error:no Item2 today" in dead
    assert f"x-original-topic:{settings.topic}" in dead
    assert "x-exception-fqcn:builtins.ValueError" in dead

    averages = [one.split("\t") for one in console_consumer(line, settings.averages_topic, 12).splitlines()]
    found = {key: json.loads(value) for _, key, value in averages}
    progress = [value for key, value in found.items() if key.count("/") == 1]
    assert progress
    assert all(value["group"] == settings.group for value in progress)
