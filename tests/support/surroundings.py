"""Changing what a pipeline stands on, with the bare client: topics, their settings, their number of partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from tests.support.waiting import eventually


def _ask(bootstrap: str, request: Callable[[AdminClient], Mapping[Any, Future[Any]]]) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})  # held while its futures run
    for future in request(client).values():
        future.result(20)


def create_topic(bootstrap: str, topic: str, partitions: int = 6, **config: str) -> None:
    """Create a topic as somebody else would; underscores in ``config`` are dots."""
    named = {name.replace("_", "."): value for name, value in config.items()}

    def created() -> bool:
        try:
            _ask(bootstrap, lambda client: client.create_topics([NewTopic(topic, partitions, config=named)]))
        except KafkaException as error:
            assert "marked for deletion" in str(error) or "already exists" in str(error), error
            return False
        return True

    eventually(created, 20, f"{topic} can be created")


def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete a topic."""
    _ask(bootstrap, lambda client: client.delete_topics([topic]))


def forget_group(bootstrap: str, group: str) -> None:
    """Delete a group without members, and its offsets."""
    _ask(bootstrap, lambda client: client.delete_consumer_groups([group]))


def alter_topic(bootstrap: str, topic: str, name: str, value: str) -> None:
    """Change one setting of a topic."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    _ask(bootstrap, lambda client: client.incremental_alter_configs([resource]))


def add_partitions(bootstrap: str, topic: str, total: int) -> None:
    """Give a topic more partitions."""
    _ask(bootstrap, lambda client: client.create_partitions([NewPartitions(topic, total)]))


def send(
    bootstrap: str, topic: str, *records: Mapping[str, Any], client: Mapping[str, Any] | None = None
) -> list[str]:
    """Produce records; return what the broker or the client said against each, empty for taken."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "log_level": 0, "enable.idempotence": True, **(client or {})}
    )
    said = [""] * len(records)
    for number, record in enumerate(records):

        def told(error: Any, _message: Any, number: int = number) -> None:
            said[number] = error.name() if error else ""

        try:
            producer.produce(topic, on_delivery=told, **record)
        except KafkaException as error:
            said[number] = "local " + error.args[0].name()
    assert producer.flush(60) == 0
    return said
