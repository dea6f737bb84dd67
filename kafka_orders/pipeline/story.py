"""The log lines of a worker: its story, one sentence each, with a stable ``action`` for machines."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from kafka_orders.domain.records import Slot
from kafka_orders.log.consumer import Slots
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.state import State

#: Told of every committed batch with the state after it; of an empty one, now and then, when idle.
Observer = Callable[[Batch, State], None]

#: Failures routed are told at most this often, in seconds, with the number since the last time.
_SAMPLE_EVERY = 1.0
#: An outage that lasts is told this often, in seconds.
_REMIND_EVERY = 15.0


class Story:
    """Writes what happens to one worker."""

    def __init__(self, role: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._role, self._clock = role, clock
        self._log = logging.getLogger(f"kafka_orders.{role}")
        self._routed_since, self._routed_at = 0, float("-inf")
        self._lasts_at = float("-inf")

    def _tell(self, action: str, sentence: str, level: int = logging.INFO, **facts: Any) -> None:
        self._log.log(level, sentence, extra={"action": action, "role": self._role, **facts})

    def started(self, transactional_id: str, group: str, topic: str) -> None:
        """Tell that the worker starts."""
        self._tell("start", f"reads {topic} in group {group} as {transactional_id}")

    def stopped(self, why: str) -> None:
        """Tell that the worker has left the group."""
        self._tell("stop", f"left the group: {why}")

    def assigned(self, slots: Slots) -> None:
        """Tell which partitions came."""
        if slots:
            self._tell("assigned", f"assigned {_names(slots)}", partitions=len(slots))

    def revoked(self, slots: Slots) -> None:
        """Tell which partitions left."""
        if slots:
            self._tell("revoked", f"gave up {_names(slots)}", partitions=len(slots))

    def restored(self, state: State, slots: Iterable[Slot], seconds: float) -> None:
        """Tell how much state was read back."""
        ready = list(slots)
        shards = sum(len(state.shards.get(slot, ())) for slot in ready)
        said = f"restored {shards} shards of {len(ready)} partitions in {seconds:.2f} s"
        self._tell("restored", said, shards=shards, partitions=len(ready), seconds=round(seconds, 3))

    def unsettled(self, why: str) -> None:
        """Tell that what was restored disagrees for the first time."""
        self._tell("unsettled", f"looking again, since another member may be at work: {why}", logging.WARNING)

    def waiting(self, sentence: str) -> None:
        """Tell that the worker waits for a broker, or that it is there again."""
        self._tell("waiting", sentence, logging.WARNING)

    def recycled(self, why: str) -> None:
        """Tell that the producer was replaced."""
        if why != "start":
            self._tell("recycled", f"replaced the producer, new epoch: {why}", logging.WARNING)

    def aborted(self, why: str, batch: Batch) -> None:
        """Tell that a batch was undone; it is handled again."""
        said = f"undid a batch of {batch.size}, to be handled again: {why}"
        self._tell("aborted", said, logging.WARNING, size=batch.size)

    def consumer_lost(self, why: str) -> None:
        """Tell that the consumer has to be built anew."""
        self._tell("consumer_lost", f"the consumer failed, building a new one: {why}", logging.WARNING)

    def hanging(self, slot: Slot, stable: int, end: int) -> None:
        """Tell of a transaction that was left open, behind which nothing can be read."""
        said = f"{slot} cannot be read beyond offset {stable}: a transaction is open there; the log ends at {end}."
        way = "Where its producer is gone for good: `kafka-transactions.sh find-hanging`, then `abort`"
        self._tell("hanging", f"{said} {way}", logging.WARNING, stable=stable, end=end)

    def busy(self, record: str, seconds: float) -> None:
        """Tell that a handler does not come back."""
        said = f"the handler has been busy with {record} for {seconds:.0f} s; nothing behind it is handled"
        self._tell("busy", said, logging.WARNING, record=record, seconds=seconds)

    def breaker(self, why: str, seconds: float) -> None:
        """Tell that the outage breaker has opened, ``why``, or closed again after so many seconds."""
        if why:
            said = f"pausing, since it is not about single records: {why}. Nothing of it was routed"
            self._tell("breaker_opened", said, logging.WARNING)
            self._lasts_at = self._clock()
        else:
            self._tell(
                "breaker_closed", f"going on after an outage of {seconds:.0f} s", logging.WARNING, seconds=seconds
            )

    def outage_lasts(self, why: str, seconds: float) -> None:
        """Tell, now and then, that the breaker is still open."""
        if self._clock() - self._lasts_at >= _REMIND_EVERY:
            self._lasts_at = self._clock()
            self._tell(
                "breaker_open", f"still pausing after {seconds:.0f} s: {why}", logging.WARNING, seconds=seconds
            )

    def source_unusable(self, why: str) -> None:
        """Tell that a changed handler cannot be used."""
        self._tell("source_unusable", why, logging.WARNING)

    def committed(self, batch: Batch, seconds: float) -> None:
        """Tell of failures that were routed, sampled; good batches are silent."""
        routed = batch.routed()
        self._log.debug("committed %d records in %.1f ms", batch.size, seconds * 1000)
        if not routed:
            return
        self._routed_since += len(routed)
        if self._clock() - self._routed_at < _SAMPLE_EVERY:
            return
        one = routed[-1]
        example = f"{one.origin} -> {one.decision}: {one.failure.message}"
        said = f"failures routed: {self._routed_since}, the last of them {example}"
        self._tell("routed", said, count=self._routed_since)
        self._routed_since, self._routed_at = 0, self._clock()


def _names(slots: Slots) -> str:
    topic = next(iter(slots)).topic
    return f"{topic} " + ",".join(str(slot.partition) for slot in sorted(slots))
