"""Where the worker's records come from: its consumer, the gate before it, and what was left over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from kafka_orders.domain.brokertime import BrokerTime
from kafka_orders.domain.policy import RetryPolicy
from kafka_orders.domain.records import Slot
from kafka_orders.log.consumer import GroupConsumer, Slots
from kafka_orders.log.message import Message, slot_of
from kafka_orders.pipeline.gate import Gate

#: Wake at least this often for signals, file changes and newly assigned partitions, in seconds.
IDLE_SECONDS = 0.1
#: Poll at least this often in seconds, also while records are left: polling is what keeps the membership.
POLL_SECONDS = 1.0


class Source:
    """Hands out records that may be handled now; what is handed back comes first the next time."""

    def __init__(self, consumer: GroupConsumer) -> None:
        self.consumer = consumer
        self._left: list[Message] = []
        self._polled = time.monotonic()

    def take(self, count: int, timeout: float) -> list[Message]:
        """Return at most ``count`` records within ``timeout`` seconds; serves rebalances meanwhile."""
        if self._left and self.silent_for() > POLL_SECONDS:
            more = self._admitted(self._consume(1, 0.0))  # first: a rebalance in it may take what is left
            self._left += more
        if self._left:
            taken, self._left = self._left[:count], self._left[count:]
            return taken
        return self._poll(count, timeout)

    @property
    def expecting(self) -> Slots:
        """The partitions that could move if there were records: nothing of them waits here."""
        return self.consumer.expecting - {slot_of(one) for one in self._left}

    def silent_for(self) -> float:
        """Return the seconds since the last poll."""
        return time.monotonic() - self._polled

    def _poll(self, count: int, timeout: float) -> list[Message]:
        return self._consume(count, timeout)

    def _consume(self, count: int, timeout: float) -> list[Message]:
        self._polled = time.monotonic()
        return self.consumer.fetch(count, timeout)

    def _admitted(self, messages: list[Message]) -> list[Message]:
        return messages

    def put_back(self, messages: list[Message]) -> None:
        """Keep records that were fetched but not handled for the next batch."""
        self._left = messages + self._left

    def drop(self, slots: Iterable[Slot]) -> None:
        """Forget records of partitions that leave."""
        gone = set(slots)
        self._left = [one for one in self._left if slot_of(one) not in gone]

    def clear(self) -> None:
        """Forget all records at hand: they are about to be read again."""
        self._left = []

    @property
    def wants_time(self) -> bool:
        """A transaction is needed to learn the broker's time."""
        return False


class DelayedSource(Source):
    """A source behind the retry gate."""

    def __init__(
        self, consumer: GroupConsumer, policy: RetryPolicy, broker_time: BrokerTime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__(consumer)
        self._gate = Gate(policy, broker_time, consumer.pause, consumer.resume, monotonic)

    def _poll(self, count: int, timeout: float) -> list[Message]:
        next_due = self._gate.next_due_in()
        if next_due is not None:
            timeout = min(timeout, next_due)
        # Polled also when enough is due already: polling keeps the membership. And first, since a rebalance in it
        # may take what the gate would have let pass.
        fetched = self._consume(1 if next_due == 0.0 else count, timeout)
        return self._gate.release(max(1, count - len(fetched))) + self._gate.admit(fetched)

    def _admitted(self, messages: list[Message]) -> list[Message]:
        return self._gate.admit(messages)

    def drop(self, slots: Iterable[Slot]) -> None:
        """Forget records of partitions that leave."""
        gone = list(slots)
        super().drop(gone)
        self._gate.drop(gone)

    def clear(self) -> None:
        """Forget all records at hand: they are about to be read again."""
        super().clear()
        self._gate.clear()

    @property
    def wants_time(self) -> bool:
        """A transaction is needed to learn the broker's time."""
        return self._gate.wants_time
