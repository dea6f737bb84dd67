"""A reader that runs during the faults: what it sees has to be what a reader sees at the end."""

from __future__ import annotations

import json
import threading
import time
import uuid

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tests.faults.findings import Place
from tests.support.waiting import eventually


class Tail(threading.Thread):
    """Reads the output topic and the dead letters as they are committed, and whose outcome each is."""

    def __init__(self, bootstrap: str, *topics: str) -> None:
        super().__init__(daemon=True)
        self._topics, self._ending = topics, False
        self.seen: dict[Place, bytes] = {}
        self.origins: set[Place] = set()
        config = {"bootstrap.servers": bootstrap, "group.id": f"tail-{uuid.uuid4().hex}", "log_level": 0}
        self._consumer = Consumer(
            {
                **config,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
            }
        )
        self._asker = Consumer({**config, "isolation.level": "read_uncommitted"})

    def run(self) -> None:
        """Read until stopped."""
        slots = [
            TopicPartition(topic, number, 0)
            for topic in self._topics
            for number in self._consumer.list_topics(topic, 20).topics[topic].partitions
        ]
        self._consumer.assign(slots)
        while not self._ending:
            for message in self._consumer.consume(1000, 0.1):
                if message.error() is None:
                    self._take(message)

    def _take(self, message: Message) -> None:
        place = (message.topic() or "", message.partition() or 0, message.offset() or 0)
        self.seen[place] = message.value() or b""
        if place[0] == self._topics[0]:
            topic, partition, offset, *_ = json.loads(message.value() or b"")
            self.origins.add((topic, partition, offset))
        else:
            held = {
                name: (value or b"").decode()
                for name, value in message.headers() or []
                if name.startswith("x-orig")
            }
            where = [held[f"x-original-{name}"] for name in ("topic", "partition", "offset")]
            self.origins.add((where[0], int(where[1]), int(where[2])))

    def log_size(self, topic: str) -> int:
        """Return the number of records of a topic that no transaction writes to; very many while nobody tells."""
        try:
            numbers = self._asker.list_topics(topic, 5).topics[topic].partitions
            ends = [self._asker.get_watermark_offsets(TopicPartition(topic, number), 5) for number in numbers]
        except KafkaException:
            return 1 << 60
        return sum(end - start for start, end in ends)

    def finish(self) -> None:
        """Wait until nothing more comes."""
        known = [0, time.monotonic()]

        def quiet() -> bool:
            if known[0] != len(self.seen):
                known[:] = [len(self.seen), time.monotonic()]
            return time.monotonic() - known[1] > 0.5

        eventually(quiet, 30, "the last records")

    def stop(self) -> None:
        """End."""
        self._ending = True
        if self.is_alive():
            self.join(5)
        self._consumer.close()
        self._asker.close()
