"""A member of a consumer group whose offsets are committed by transactions.

No callback touches the log: a rebalance only tells which partitions came and which left. What came starts when
the worker has restored its state (:meth:`GroupConsumer.start_at`).
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.cimpl import Consumer  # the client's own: tracing tools replace the package's

from kafka_orders.domain.errors import StateMismatchError, TransactionFailedError
from kafka_orders.domain.records import Slot
from kafka_orders.log.clients import ClientFailure, Connection, kafka_error, made
from kafka_orders.log.errors import denied
from kafka_orders.log.message import slot_of

Slots = frozenset[Slot]

#: Errors among the consumed records that pass by themselves; the client goes on trying.
_PASSING = frozenset(
    {KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._MAX_POLL_EXCEEDED,
     KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
)  # fmt: skip
#: Longest wait for the answer to a request that is only there to wake the client up, in seconds.
_WAKE_SECONDS = 0.5


class ConsumerLostError(Exception):
    """The client's consumer failed fatally and has to be built anew; the offsets are in Kafka."""


class GroupToken(NamedTuple):
    """Proof of membership at one moment, for one transaction."""

    metadata: Any
    generation: int
    group: str = ""


class GroupConsumer:
    """One consumer in one group, subscribed to one topic."""

    def __init__(
        self, connection: Connection, group: str, topic: str, on_assigned: Callable[[Slots], None],
        on_revoked: Callable[[Slots], None],
    ) -> None:  # fmt: skip
        self.group, self.topic = group, topic
        self._tell_assigned, self._tell_revoked = on_assigned, on_revoked
        config = connection.member(group)
        self._consumer = made(Consumer, config)
        #: The group gives our partitions away after this many seconds without a poll.
        self.most_silent = int(config["max.poll.interval.ms"]) / 1000
        self._owned: set[Slot] = set()
        self._starting: set[Slot] = set()
        self._paused: set[Slot] = set()
        self._rebalanced = self._lost = False
        #: The last poll brought less than was asked for: nothing more was at hand.
        self.drained = False
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        slots = _slots(partitions)
        self._owned |= slots
        self._starting |= slots
        self._rebalanced = True
        # Taken over in name only: start_at() assigns each partition once, at the offset that its state tells.
        # Assigning here and seeking later is a race: where the client still looks up a first offset, its late
        # answer undoes the seek, and all is delivered again (tests/integration/test_restarts.py).
        consumer.incremental_assign([])
        self._tell_assigned(slots)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        slots = _slots(partitions)
        started = self._running & slots
        self._owned -= slots
        self._starting -= slots
        self._paused -= slots
        self._rebalanced = True
        self._tell_revoked(slots)
        consumer.incremental_unassign(_partitions(started))

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # A handle that was thrown out of its group does not always find back (librdkafka 2.16, seen after a
        # broker's kill: joined, then silent for good), so it is given up; see fetch().
        self._lost = True
        self._on_revoke(consumer, partitions)

    def fetch(self, count: int, timeout: float) -> list[Message]:
        """Return at most ``count`` records within ``timeout`` seconds; serves rebalances meanwhile.

        Raises:
            ConsumerLostError: the consumer is dead; build a new one.
            StateMismatchError: the next record is not in the log any more.
            BrokerError: permission is missing.
        """
        try:
            messages = self._consumer.consume(count, timeout)
        except ClientFailure as raised:
            self._check(kafka_error(raised), self.topic, None)
            return []
        self.drained = len(messages) < count
        if self._lost:
            raise ConsumerLostError("the group has removed this member")
        if any(map(Message.error, messages)):
            for message in messages:
                if (error := message.error()) is not None:
                    self._check(error, message.topic() or self.topic, message.partition())
            messages = [message for message in messages if message.error() is None]
        if self._starting or self._rebalanced:
            messages = self._deliverable(messages)
        return messages

    def _deliverable(self, messages: list[Message]) -> list[Message]:
        """Leave out what one call fetched before partitions left, or before a start was decided."""
        self._rebalanced = False
        running = self._running
        return [one for one in messages if slot_of(one) in running]

    @property
    def _running(self) -> set[Slot]:
        return self._owned - self._starting

    def _check(self, error: KafkaError, topic: str, partition: int | None) -> None:
        if refusal := denied(error, topic, self.group):
            raise refusal
        if error.fatal():
            # What librdkafka's classic assignor keeps in a group can hinder its upgrade (KIP-848) while a member
            # of the classic protocol is left: the broker answers the others that there is no such group.
            mixed = " (or it waits for its last member of the classic protocol to leave)"
            raise ConsumerLostError(error.str() + (mixed if "group id does not exist" in error.str() else ""))
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            if partition is None or Slot(topic, partition) in self._starting:
                return  # its start is not decided yet
            raise StateMismatchError(
                f"{topic}/{partition}: the next record to handle is not in the log any more ({error.str()})."
                " Nothing was changed. Its retention is shorter than the time it waited, or the topic was"
                " created again; `kafka-orders reset --yes` begins again from empty topics."
            )
        if error.code() not in _PASSING and not error.retriable():
            raise ConsumerLostError(error.str())

    @property
    def owned(self) -> Slots:
        """The partitions assigned at this moment."""
        return frozenset(self._owned)

    @property
    def expecting(self) -> Slots:
        """The partitions that could move: started, not paused, and the client has nothing at hand of any."""
        return frozenset(self._running - self._paused if self.drained else ())

    def token(self) -> GroupToken:
        """Return fresh metadata of this member, refused unless it can be fenced.

        The coordinator *accepts* generation -1 with an empty member over a live group and overwrites its
        offsets, so such a token must never be sent (measured; ``tests/integration/test_consumer.py``).

        Raises:
            TransactionFailedError: we are not a member at this moment; poll, then try again.
        """
        metadata = self._consumer.consumer_group_metadata()
        generation, member = read_metadata(bytes(metadata))
        if generation < 0 or not member:
            raise TransactionFailedError(f"not a member of {self.group} at this moment")
        return GroupToken(metadata, generation, self.group)

    def start_at(self, slot: Slot, offset: int) -> bool:
        """Deliver ``slot`` from ``offset`` on; False when it cannot be started yet (poll, try again)."""
        where = TopicPartition(slot.topic, slot.partition, offset)
        try:
            self._consumer.incremental_assign([where])
            self._consumer.resume([where])
        except KafkaException:
            return False
        self._paused.discard(slot)
        self._starting.discard(slot)
        return True

    def _wake(self, where: TopicPartition) -> None:
        """A resume wakes nobody: the client's thread for this leader may sleep for a second. A request does."""
        with suppress(KafkaException):
            self._consumer.get_watermark_offsets(where, timeout=_WAKE_SECONDS)

    def pause(self, slots: Iterable[Slot]) -> None:
        """Stop delivering these; what the client has fetched of them it drops and fetches again."""
        if held := _partitions(slots):
            self._consumer.pause(held)
            self._paused |= _slots(held)

    def resume(self, slots: Iterable[Slot]) -> None:
        """Deliver these again from where they were paused."""
        if held := _partitions(slots):
            nothing_fetches = self._owned <= self._paused
            self._consumer.resume(held)
            self._paused -= _slots(held)
            for one in held if nothing_fetches else ():
                self._wake(one)

    def hold(self, slots: Iterable[Slot]) -> None:
        """Deliver nothing of these until :meth:`start_at`: their position is about to be decided anew.

        Raises:
            ConsumerLostError: the consumer is dead; build a new one.
        """
        started = self._running & set(slots)
        try:
            self._consumer.incremental_unassign(_partitions(started))
        except KafkaException as raised:
            raise ConsumerLostError(kafka_error(raised).str()) from raised
        self._starting |= started

    def abandon(self) -> None:
        """Let go of a dead handle: it leaves on a thread of its own, which may have to wait for a broker.

        Without the close it would live on (its callbacks refer back to it), join again, and sit on partitions.
        """
        self._tell_assigned = self._tell_revoked = lambda _slots: None
        threading.Thread(target=self._consumer.close, name="close-consumer", daemon=True).start()

    def close(self) -> None:
        """Leave the group at once, so that the others need not wait for the session to time out."""
        self._consumer.close()


def read_metadata(raw: bytes) -> tuple[int, str]:
    """Return (generation, member id) from the client's serialised group metadata.

    Format (librdkafka 2.16, ``rd_kafka_consumer_group_metadata_write``): ``CGMDv2:``, int32 generation in
    native order, then group, member and instance, each ended by a zero byte.
    """
    prefix = b"CGMDv2:"
    if not raw.startswith(prefix):
        raise TransactionFailedError("the client's group metadata has an unknown format")
    at = len(prefix)
    (generation,) = struct.unpack_from("=i", raw, at)
    _group, member, *_ = raw[at + 4 :].split(b"\0")
    return generation, member.decode()


def _slots(partitions: Iterable[TopicPartition]) -> Slots:
    return frozenset(Slot(one.topic, one.partition) for one in partitions)


def _partitions(slots: Iterable[Slot]) -> list[TopicPartition]:
    return [TopicPartition(slot.topic, slot.partition) for slot in slots]
