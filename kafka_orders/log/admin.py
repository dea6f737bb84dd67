"""Requests to the brokers: metadata, offsets and bounds of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import Consumer  # the client's own: tracing tools replace the package's

from kafka_orders.domain.errors import BrokerError
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.log.clients import Connection, dispose, kafka_error, made
from kafka_orders.log.errors import denied
from kafka_orders.log.patience import Patience
from kafka_orders.log.probe import first_answer

_REQUEST_SECONDS = 10.0
_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]

T = TypeVar("T")


class Admin:
    """Asks the brokers, again and again with patience while they do not answer."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self._connection, self._patience = connection, patience

    def ask(self, what: str, question: Callable[[AdminClient], T | None]) -> T:
        """Return the first answer that is not None.

        A new client per attempt: an AdminClient keeps a stale leader, and then answers -1001 without
        an error (measured). The client stays referenced while its futures run (_DESTROY otherwise).

        Raises:
            BrokerError: permission is missing.
            NoBrokerError: patience has a limit, and it has passed.
        """
        while True:
            client = made(AdminClient, self._connection.admin())
            try:
                if "security.protocol" in self._connection.properties:
                    first_answer(client, _REQUEST_SECONDS)
                answer = question(client)
                why = "the answer is not complete yet"
            except KafkaException as raised:
                # Its frames hold a future, and that holds this error: a cycle, which would keep the client.
                error = kafka_error(raised.with_traceback(None))
                if refusal := denied(error, what):
                    raise refusal from raised
                answer, why = None, error.str()
            if answer is not None:
                self._patience.over()
                return answer
            self._patience.wait(what, why)

    def partition_counts(self, topics: Iterable[str] | None = None) -> dict[str, int]:
        """Return the number of partitions of each of the topics that exist; of all by default."""

        def question(client: AdminClient) -> dict[str, int]:
            found = client.list_topics(timeout=_REQUEST_SECONDS).topics
            return {
                name: len(found[name].partitions)
                for name in (found if topics is None else topics)
                if name in found
            }

        return self.ask("list topics", question)

    def topic_id(self, topic: str) -> str:
        """Return the id that the broker gave a topic when it was created; waits while it does not exist."""

        def question(client: AdminClient) -> str:
            asked = client.describe_topics(TopicCollection([topic]), request_timeout=_REQUEST_SECONDS)
            return str(asked[topic].result().topic_id)

        return self.ask(f"find topic {topic}", question)

    def slots(self, topic: str) -> list[Slot]:
        """Return all partitions of a topic.

        Raises:
            BrokerError: it does not exist.
        """
        count = self.partition_counts([topic]).get(topic, 0)
        if not count:
            raise BrokerError(f"topic {topic} does not exist; `kafka-orders topics create` makes it")
        return [Slot(topic, partition) for partition in range(count)]

    def bounds(self, slots: Iterable[Slot], *, committed_only: bool = False) -> dict[Slot, Bounds]:
        """Return the first and next offset of each partition.

        Ends are READ_UNCOMMITTED unless ``committed_only``: the last stable offset can lag behind a
        committed offset that is visible already (KAFKA-10167), and a restore up to it would miss state.
        """
        wanted = list(slots)
        level = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED

        def question(client: AdminClient) -> dict[Slot, Bounds] | None:
            starts, ends = _list_offsets(client, wanted, level, _EARLIEST, _LATEST)
            if any(starts[slot] < 0 or ends[slot] < 0 for slot in wanted):
                return None
            return {slot: Bounds(starts[slot], ends[slot]) for slot in wanted}

        return self.ask(f"read the bounds of {_topics(wanted)}", question) if wanted else {}

    def offsets_at(self, slots: Iterable[Slot], since_ms: int) -> dict[Slot, int]:
        """Return each partition's first offset whose record is that young (epoch milliseconds); -1: none is."""
        wanted, spec = list(slots), OffsetSpec.for_timestamp(since_ms)

        def question(client: AdminClient) -> dict[Slot, int] | None:
            (found,) = _list_offsets(client, wanted, IsolationLevel.READ_COMMITTED, spec)
            return found if all(offset >= -1 for offset in found.values()) else None

        return self.ask(f"look for the age of records in {_topics(wanted)}", question)

    def committed(self, group: str, slots: Iterable[Slot]) -> dict[Slot, int | None]:
        """Return the group's committed offsets, waiting for transactions that hold some (KIP-447).

        A consumer asks: AdminClient.list_consumer_group_offsets ends the whole process by a segmentation fault
        when the broker answers NOT_COORDINATOR (librdkafka issue 5040; seen here on a broker's first request).
        """
        wanted = list(slots)

        def question(_client: AdminClient) -> dict[Slot, int | None]:
            # Its isolation level, read_committed, is what makes it wait.
            asker = Consumer({**self._connection.reader(), "group.id": group})
            try:
                found = asker.committed([TopicPartition(*slot) for slot in wanted], _REQUEST_SECONDS)
            except KafkaException:
                if (told := asker.poll(0)) is not None and (error := told.error()) is not None:
                    raise KafkaException(error) from None  # no permission: a question only times out over it
                raise
            finally:
                dispose([asker])
            for one in found:
                if one.error is not None:
                    raise KafkaException(one.error)
            return {Slot(one.topic, one.partition): one.offset if one.offset >= 0 else None for one in found}

        return self.ask(f"read the offsets of {group} in {_topics(wanted)}", question) if wanted else {}


def _topics(slots: Iterable[Slot]) -> str:
    return ", ".join(sorted({slot.topic for slot in slots}))


def _list_offsets(
    client: AdminClient, slots: list[Slot], level: Any, *specs: OffsetSpec
) -> Iterator[dict[Slot, int]]:
    # A new client asked at once knows no leader yet and waits 1-3 s, one time in ten (measured).
    client.list_topics(slots[0].topic, timeout=_REQUEST_SECONDS)
    for spec in specs:
        futures = client.list_offsets(
            {TopicPartition(*slot): spec for slot in slots},
            isolation_level=level,
            request_timeout=_REQUEST_SECONDS,
        )
        yield {Slot(one.topic, one.partition): future.result().offset for one, future in futures.items()}
