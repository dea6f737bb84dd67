"""Reading partitions from one offset to another, committed records only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.cimpl import Consumer  # the client's own: tracing tools replace the package's

from kafka_orders.domain.errors import BrokerError
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.log.clients import Connection, kafka_error, made
from kafka_orders.log.errors import denied
from kafka_orders.log.message import offset_of, slot_of
from kafka_orders.log.patience import Patience

_CHUNK = 500
#: consume() waits this long, in seconds, unless a whole chunk is there.
_STEP_SECONDS = 0.02
_METADATA_SECONDS = 5.0


class Reader:
    """A consumer without a group. Keep it: a new one has to connect and to learn the topics."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self._connection, self._patience = connection, patience
        self._consumer = made(Consumer, connection.reader())
        self._known: set[str] = set()

    def read(self, ranges: Mapping[Slot, Bounds]) -> Iterator[Message]:
        """Yield the committed records of each range; ends when every range is read to its end.

        A range whose end lies behind an open transaction waits for that to finish: the end of partition
        that the client reports is the last stable offset, not the end asked for.

        Raises:
            BrokerError: permission is missing, or records of a range were removed meanwhile.
        """
        open_ends = {slot: bounds.end for slot, bounds in ranges.items() if bounds.end > bounds.start}
        topics = {slot.topic for slot in open_ends}
        if len(topics) > 1:
            for topic in topics:
                yield from self.read({slot: ranges[slot] for slot in open_ends if slot.topic == topic})
            return
        if not open_ends:
            return
        self._learn(topics)
        self._consumer.assign(
            [TopicPartition(slot.topic, slot.partition, ranges[slot].start) for slot in open_ends]
        )
        try:
            while open_ends:
                yield from self._step(open_ends)
        finally:
            with suppress(RuntimeError):  # closed before its last reading was given up
                self._consumer.unassign()

    def _learn(self, topics: set[str]) -> None:
        """Ask for the leaders before assigning: librdkafka looks for those it does not know once a second."""
        for topic in topics - self._known:
            try:
                self._consumer.list_topics(topic, _METADATA_SECONDS)
            except KafkaException as raised:
                self._heed(kafka_error(raised), Slot(topic, -1))  # it finds them by itself, later
            else:
                self._known.add(topic)

    def _step(self, open_ends: dict[Slot, int]) -> Iterator[Message]:
        messages = self._consume()
        if messages:
            self._patience.over()
        else:
            self._patience.wait(
                "read " + ", ".join(map(str, sorted(open_ends)[:3])),
                "no records yet; an open transaction may hold them up",
                0.0,
            )
        # One topic, so its partitions' numbers tell: a Slot for each record would take as long as the rest.
        ends = {slot.partition: end for slot, end in open_ends.items()}
        failed = [message for message in messages if message.error() is not None]
        found = [one for one in messages if one.error() is None] if failed else messages
        last = {one.partition(): offset_of(one) for one in found}
        if any(offset >= ends.get(partition or 0, 0) for partition, offset in last.items()):
            found = [one for one in found if offset_of(one) < ends.get(one.partition() or 0, 0)]
        yield from found
        for slot, end in list(open_ends.items()):
            if last.get(slot.partition, -1) + 1 >= end:
                del open_ends[slot]
        for message in failed:
            self._heed_in(message, open_ends)

    def _heed_in(self, message: Message, open_ends: dict[Slot, int]) -> None:
        error, slot, offset = message.error(), slot_of(message), message.offset() or 0
        if error is not None:
            self._heed(error, slot)
            if error.code() == KafkaError._PARTITION_EOF and offset >= open_ends.get(slot, offset):
                open_ends.pop(slot, None)

    def _consume(self) -> list[Message]:
        try:
            return self._consumer.consume(_CHUNK, _STEP_SECONDS)
        except KafkaException as raised:
            self._heed(kafka_error(raised), Slot("", -1))
            return []

    @staticmethod
    def _heed(error: KafkaError, slot: Slot) -> None:
        # The client asks for the coordinator of its group, which is never used: no right on that is needed.
        if error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED and (refusal := denied(error, slot.topic)):
            raise refusal
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise BrokerError(f"{slot}: records were removed by retention while they were being read; try again")

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
