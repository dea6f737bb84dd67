"""From outcomes to records: steps 4 and 5, what a transaction writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kafka_orders.domain import headers
from kafka_orders.domain.headers import Journey
from kafka_orders.domain.policy import Dead, RetryPolicy, retry_partition
from kafka_orders.domain.records import dump_progress, progress_key
from kafka_orders.domain.standing import FAILED_AGAIN, RESOLVED, BreakerRecord, breaker_key, dump, ended
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
    status_topic: str = ""

    def records(self, batch: Batch, changes: Changes, cut: int = 0) -> Iterator[OutRecord]:
        """Yield all records of the batch's transaction; failures without their first ``cut`` spare headers."""
        for routed in batch.routed():  # 4. route
            failed = self._failed(routed)
            if cut:
                failed = failed._replace(headers=headers.without_detail(failed.headers or [], *_SPARE[:cut]))
            yield failed
            if routed.is_dead and routed.message.topic() == self.retry_topic:
                replay = headers.replay_of(headers_of(routed.message))
                if replay is not None:
                    yield OutRecord(self.status_topic, None, *ended(replay, FAILED_AGAIN, self.group))
        for replay in batch.resolved():
            yield OutRecord(self.status_topic, None, *ended(replay, RESOLVED, self.group))
        for result in batch.results():
            yield OutRecord(self.output_topic, None, *result)
        for slot, progress in changes.progress.items():  # 5. write
            partition = slot.partition % self.averages_partitions
            yield OutRecord(self.averages_topic, partition, progress_key(slot), dump_progress(progress))
            for key, value in changes.shards[slot].records():
                yield OutRecord(self.averages_topic, partition, key, value)

    def breaker(self, worker: str, why: str) -> OutRecord:
        """Return the record that tells others whether a worker's outage breaker is open."""
        return OutRecord(self.status_topic, None, breaker_key(worker), dump(BreakerRecord(why)))

    def _failed(self, routed: Routed) -> OutRecord:
        message, origin, decision, failure, first, now = routed
        key, held = message.key(), headers_of(message)
        if held and message.topic() != self.retry_topic:  # there anyone may write: it resolves no dead letter
            held = headers.without_detail(held, headers.REPLAY_OF)
        if isinstance(decision, Dead):
            journey = Journey(origin, decision.retries, first, now, self.group)
            built = headers.build(held, journey, failure, with_stack=True)
            return OutRecord(self.dlq_topic, None, key, message.value(), built, _SPARE)  # the key decides
        (attempt, after_ms), policy, named = decision, self.policy, str(origin)
        due = now + policy.wait_ms(attempt, named, after_ms)
        journey = Journey(origin, attempt, first, now, self.group, due, after_ms)
        built = headers.build(held, journey, failure, with_stack=False)
        where = retry_partition(policy.band(decision), key, named, self.retry_partitions, policy.max_retries)
        return OutRecord(self.retry_topic, where, key, message.value(), built, _SPARE)
