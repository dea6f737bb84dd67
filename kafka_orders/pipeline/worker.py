"""The transactional worker: one loop for main and retry, one Kafka transaction per batch.

The steps, in the same words as in DESIGN.md:

1. **poll**: a small consume;
2. **decode and handle** each record; outcomes are data, tentative until the commit;
   - 1 and 2 repeat until N records or T milliseconds since the first are reached -
3. **begin** the transaction;
4. **route** failures to retry or dead letters;
5. **write** changed averages and progress;
6. **flush**, then **send offsets** of every partition of the batch, with fresh and fenceable metadata;
7. **commit**; only then are the new averages the truth in memory;
8. anything goes wrong: **abort**, replace the producer, restore from Kafka, go on.

No transaction is open while a poll runs or a rebalance callback is served: a callback only drops the
gathered batch and what belongs to leaving partitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from kafka_orders.domain.brokertime import BrokerTime
from kafka_orders.domain.errors import BrokerError, TransactionFailedError
from kafka_orders.domain.records import Slot
from kafka_orders.log.consumer import ConsumerLostError, GroupConsumer, Slots
from kafka_orders.log.patience import StopRequested
from kafka_orders.log.transaction import TransactionalProducer
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch, BatchLimit
from kafka_orders.pipeline.breaker import Breaker
from kafka_orders.pipeline.handling import Handling
from kafka_orders.pipeline.reload import SourceWatch
from kafka_orders.pipeline.routing import Router
from kafka_orders.pipeline.source import IDLE_SECONDS, Source
from kafka_orders.pipeline.state import Restorer, State, UnsettledError
from kafka_orders.pipeline.stop import Stop
from kafka_orders.pipeline.story import Observer, Story
from kafka_orders.pipeline.watchdog import Watchdog

#: Records per poll: the client's CPU per record rises with it, so transactions gather several polls.
POLL_SIZE = 200


#: Age of a batch in seconds where the last poll found all that was there: an order is seen sooner, and there is
#: time for more transactions. Where records wait, a batch may grow for ``batch_ms``.
LIGHT_SECONDS = 0.02

#: See this often whether the topic is still the same one, in seconds.
IDENTITY_SECONDS = 5.0

#: Before a new consumer, after others were lost with nothing committed in between, in seconds.
LONGEST_PAUSE = 5.0

#: What to do about a record that cannot be committed.
_TOO_LARGE = "Mend the cause (often max.message.bytes of the topic it goes to: `kafka-orders topics check`)"
_TOO_SLOW = (
    "the group gives a member's partitions away after max.poll.interval.ms. Make it faster, let it give up with"
    " TimeoutError, or allow it more (--kafka max.poll.interval.ms=900000)"
)


class Ended(Enum):
    """Why a worker's loop ended."""

    STOPPED = "stopped"
    SOURCE_CHANGED = "the handler's source changed"


@dataclass(slots=True)
class Worker:
    """Owns a consumer and a producer; everything happens on the thread that calls :meth:`run`."""

    new_consumer: Callable[[Callable[[Slots], None], Callable[[Slots], None]], GroupConsumer]
    new_source: Callable[[GroupConsumer], Source]
    producer: TransactionalProducer
    handling: Handling
    router: Router
    restorer: Restorer
    state: State
    story: Story
    observer: Observer
    watch: SourceWatch
    stop: Stop
    broker_time: BrokerTime
    limit: BatchLimit
    watchdog: Watchdog
    batch_seconds: float
    breaker: Breaker = field(default_factory=Breaker)
    alarm: Alarm = field(init=False, default_factory=Alarm)
    source: Source = field(init=False)
    batch: Batch = field(init=False, default_factory=Batch)
    unready: set[Slot] = field(init=False, default_factory=set)
    identified_at: float = field(init=False, default=0.0)
    lost: int = field(init=False, default=0)

    def run(self) -> Ended:
        """Work until a stop is asked for or the handler's source has changed.

        Raises:
            RefusedError: going on could lose or double orders; nothing of the last batch was committed.
            BrokerError: permission is missing.
        """
        self._connect()
        try:
            while not self.stop.requested:
                if self.watch.changed():
                    return Ended.SOURCE_CHANGED
                if self.watch.complaint:
                    self.story.source_unusable(self.watch.complaint)
                self._turn()
        except StopRequested:
            pass  # asked to stop while waiting for a broker: what was open aborts
        finally:
            self._leave()
        return Ended.STOPPED

    def _turn(self) -> None:
        try:
            if self._pauses():
                return
            self._prepare()
            self._gather()
            if self.batch.slots:
                if self._trips():
                    return
                self._finish()
            else:
                self.state.fold()
                self.observer(self.batch, self.state)
            standing = {slot: self.state.progress[slot].next_offset for slot in self.source.expecting}
            self.watchdog.look(time.monotonic(), standing)
        except ConsumerLostError as lost:
            self.story.consumer_lost(str(lost))
            self.source.consumer.abandon()
            self.stop.pause(min(LONGEST_PAUSE, self.lost * 0.1))
            self.lost = min(2 * self.lost + 1, 64)  # a new one that is lost at once, too, is not helped by haste
            self._connect()

    def _pauses(self) -> bool:
        """Stay in the group while the breaker is open: polls deliver nothing, since all partitions are held."""
        was, waits = self.breaker.why, self.breaker.waits(time.monotonic())
        if waits:
            self.source.consumer.fetch(1, IDLE_SECONDS)
            self.story.outage_lasts(self.breaker.why, time.monotonic() - self.breaker.opened_at)
        elif was and not self.breaker.why:
            self._tell_breaker()
        return waits

    def _trips(self) -> bool:
        """Drop a batch that shows an outage: nothing of it is routed, no attempt is used up."""
        was = self.breaker.why
        if refused := self.breaker.refuses(self.batch, time.monotonic()):
            self._hold(self.source.consumer.owned)
        if bool(was) != bool(self.breaker.why):
            self._tell_breaker()
        return refused

    def _tell_breaker(self) -> None:
        seconds = time.monotonic() - self.breaker.opened_at
        self.story.breaker(self.breaker.why, seconds)
        try:
            self.producer.renew()
            self.producer.transact([self.router.breaker(self.producer.transactional_id, self.breaker.why)])
        except (TransactionFailedError, BrokerError) as failed:  # it is in the log, and nothing hangs on it
            self.producer.distrust(str(failed))

    def _prepare(self) -> None:
        """Make sure of a sound producer and restored state before the first record is handled."""
        why = self.producer.suspect
        if self.producer.renew():
            self.story.recycled(why)
        started = time.monotonic()
        if not self.unready:
            if started - self.identified_at >= IDENTITY_SECONDS:
                self.restorer.check_topic(self.state)
                self.identified_at = time.monotonic()
            return
        starting = set(self.unready)
        try:
            starts = self.restorer.restore(self.state, starting)
        except UnsettledError as unsettled:
            self.story.unsettled(str(unsettled))
            return  # the poll that follows tells whether they are ours at all
        self.identified_at = time.monotonic()  # a restore has looked, too
        self.unready = {slot for slot in starting if not self.source.consumer.start_at(slot, starts[slot])}
        self.story.restored(self.state, starting - self.unready, time.monotonic() - started)

    def _gather(self) -> None:
        """1. poll and 2. decode and handle, until enough records or time."""
        self.batch = Batch()
        consumer = self.source.consumer
        age = min(LIGHT_SECONDS, self.batch_seconds) if consumer.drained else self.batch_seconds
        deadline, most = float("inf"), self.breaker.most or self.limit.size(consumer.owned)
        while (room := most - self.batch.size) > 0 and not self.stop.requested:
            wait = min(IDLE_SECONDS, max(0.0, deadline - time.monotonic()))
            messages = self.source.take(min(POLL_SIZE, room) if self.batch.size else 1, wait)
            if not messages:
                break
            if not self.batch.size:
                deadline = time.monotonic() + age
                self.alarm.set(age)
            handled = self.handling.handle(messages, self.batch, self.alarm)
            self.source.put_back(messages[handled:])
            if self.alarm.rung or self.batch.away:
                break  # a slow handler commits what it has: one order is a batch, where need be
        if self.source.wants_time and not self.batch.slots:
            self._learn_time()

    def _finish(self) -> None:
        """3. begin to 7. commit, or 8. undo."""
        changes = self.state.after(self.batch)
        try:
            token = self.source.consumer.token()
            records = self.router.records(self.batch, changes, self.limit.cut(self.batch))
            took = self.producer.transact(records, self.batch.offsets(), token)
        except TransactionFailedError as failed:
            self._undo(failed)
            return
        self.lost = 0
        self.state.apply(changes)
        self.limit.succeeded(self.batch)
        if self.producer.broker_time:
            self.broker_time.observe(*self.producer.broker_time, fresh=True)
        self.story.committed(self.batch, took)
        self.observer(self.batch, self.state)

    def _undo(self, failed: TransactionFailedError) -> None:
        """8. abort (by the next epoch), replace the producer, restore from Kafka, go on.

        The outcome may be a commit after all, so memory is never the way back: not for the state, and
        not for the positions.
        """
        self.producer.distrust(str(failed))
        self.story.aborted(str(failed), self.batch)
        if failed.blames_records:
            self.limit.refused(self.batch, f"{failed}. {_TOO_LARGE}")
        elif (silent := self.source.silent_for()) >= self.source.consumer.most_silent:
            self.limit.outlasted(self.batch, f"its handler took {silent:.0f} s, and {_TOO_SLOW}")
        self._hold(self.source.consumer.owned)

    def _learn_time(self) -> None:
        """Commit where we are: its acknowledgement tells the broker's time, which no old record does."""
        for slot in self.source.consumer.owned - self.unready:
            self.batch.part(slot, self.state.progress[slot].next_offset)

    def _hold(self, slots: Slots) -> None:
        self.source.clear()
        self.state.drop(slots)
        self.source.consumer.hold(slots)
        self.unready |= slots

    def _connect(self) -> None:
        self.unready, self.batch = set(), Batch()
        self.state.drop(list(self.state.progress))  # nobody tells what has gone with the old consumer
        self.source = self.new_source(self.new_consumer(self._assigned, self._revoked))

    def _assigned(self, slots: Slots) -> None:
        self.story.assigned(slots)
        self.unready |= slots

    def _revoked(self, slots: Slots) -> None:
        self.story.revoked(slots)
        self.unready -= slots
        self.batch.drop(slots)
        self.source.drop(slots)
        self.state.drop(slots)

    def _leave(self) -> None:
        self.alarm.close()
        self.source.consumer.close()
        self.producer.close()
