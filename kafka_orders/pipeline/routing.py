"""From outcomes to records: steps 4 and 5, what a transaction writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kafka_orders.domain import headers
from kafka_orders.domain.headers import Journey
from kafka_orders.domain.policy import Dead, Retry, RetryPolicy, retry_partition
from kafka_orders.domain.records import dump_progress, progress_key
from kafka_orders.log.message import headers_of
from kafka_orders.log.transaction import OutRecord
from kafka_orders.pipeline.batch import Batch, Routed
from kafka_orders.pipeline.changes import Changes

#: A record never fails to fit: its stack goes first, then its message, the payload never.
_SPARE = (headers.EXCEPTION_STACKTRACE, headers.ERROR)


@dataclass(frozen=True, slots=True)
class Router:
    """Knows the topics and their partition counts; N of the averages topic never changes."""

    group: str
    policy: RetryPolicy
    retry_topic: str
    dlq_topic: str
    averages_topic: str
    retry_partitions: int
    averages_partitions: int
    output_topic: str = ""

    def records(self, batch: Batch, changes: Changes, cut: int = 0) -> Iterator[OutRecord]:
        """Yield all records of the batch's transaction; failures without their first ``cut`` spare headers."""
        for routed in batch.routed():  # 4. route
            failed = self._failed(routed)
            if cut:
                failed = failed._replace(headers=headers.without_detail(failed.headers or [], *_SPARE[:cut]))
            yield failed
        for result in batch.results():
            yield OutRecord(self.output_topic, None, *result)
        for slot, progress in changes.progress.items():  # 5. write
            partition = slot.partition % self.averages_partitions
            yield OutRecord(self.averages_topic, partition, progress_key(slot), dump_progress(progress))
            for key, value in changes.shards[slot].records():
                yield OutRecord(self.averages_topic, partition, key, value)

    def _failed(self, routed: Routed) -> OutRecord:
        message, first, now = routed.message, routed.first_failed_at_ms, routed.failed_at_ms
        topic = self.dlq_topic
        partition: int | None = None  # the key decides
        match routed.decision:
            case Retry(attempt, after_ms):
                origin, key = str(routed.origin), message.key()
                due = now + self.policy.wait_ms(attempt, origin, after_ms)
                band, most = self.policy.band(routed.decision), self.policy.max_retries
                topic = self.retry_topic
                partition = retry_partition(band, key, origin, self.retry_partitions, most)
                journey = Journey(routed.origin, attempt, first, now, self.group, due, after_ms)
            case Dead(retries):
                journey = Journey(routed.origin, retries, first, now, self.group)
        built = headers.build(headers_of(message), journey, routed.failure, with_stack=routed.is_dead)
        return OutRecord(topic, partition, message.key(), message.value(), built, _SPARE)
