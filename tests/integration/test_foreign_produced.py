"""The recorded dead letters of other systems, written to a real broker again."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.fixtures.foreign.record import PARTITIONS
from tests.support.foreign import DIALECTS, Recorded, produce, records
from tests.support.waiting import eventually


@pytest.mark.broker
def test_a_topic_holds_what_was_recorded(bootstrap: str) -> None:
    """Byte for byte, with nulls, repeated headers and their order; only the offsets are new."""
    topic, letters = f"t-{uuid.uuid4().hex[:8]}", [one for name in DIALECTS for one in records(name)]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    produce(bootstrap, topic, letters)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic})
    consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in range(PARTITIONS)])
    found: list[Recorded] = []

    def all_there() -> bool:
        found.extend(Recorded.of(message) for message in consumer.consume(len(letters), 0.2))
        return len(found) >= len(letters)

    eventually(all_there, 30, "all records")
    consumer.close()
    assert sorted(map(content, found), key=repr) == sorted(map(content, letters), key=repr)


def content(one: Recorded) -> Recorded:
    return one._replace(topic="", offset=0)
