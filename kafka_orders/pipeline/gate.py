"""The retry gate: a record passes when it is due by the broker's clock, never earlier."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from kafka_orders.domain import headers
from kafka_orders.domain.brokertime import BrokerTime
from kafka_orders.domain.policy import RetryPolicy
from kafka_orders.domain.records import Slot
from kafka_orders.log.message import Message, append_time_ms, headers_of, origin_of, slot_of


def due_ms(message: Message, policy: RetryPolicy) -> int:
    """Return when a record of `orders_retry` is due: LogAppendTime + delay + jitter.

    Both parts are bounded: the time is the broker's, the delay at most an hour, so no header from a
    stranger can park a partition.
    """
    held = headers_of(message)
    wait = policy.wait_ms(headers.retry_count(held), str(origin_of(message)), headers.retry_after(held))
    return message.timestamp()[1] + wait


class Gate:
    """Holds back what is not due. A partition whose head waits is paused, while polling goes on."""

    def __init__(
        self, policy: RetryPolicy, time: BrokerTime, pause: Callable[[Iterable[Slot]], None],
        resume: Callable[[Iterable[Slot]], None], monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self._policy, self._time, self._monotonic = policy, time, monotonic
        self._pause, self._resume = pause, resume
        self._held: dict[Slot, deque[Message]] = {}
        self._due: dict[Slot, int] = {}

    def admit(self, messages: list[Message]) -> list[Message]:
        """Return those that are due; hold the others, in order, and pause their partitions."""
        passing: list[Message] = []
        for message in messages:
            slot = slot_of(message)
            if (append := append_time_ms(message)) is not None:
                self._time.observe(append, self._monotonic())
            if slot in self._held:
                self._held[slot].append(message)
            elif (due := due_ms(message, self._policy)) <= self._time.now(self._monotonic()):
                passing.append(message)
            else:
                self._held[slot], self._due[slot] = deque([message]), due
                self._pause([slot])
        return passing

    def release(self, count: int) -> list[Message]:
        """Return held records that have become due, at most ``count``."""
        released: list[Message] = []
        now = self._time.now(self._monotonic())
        for slot in [slot for slot, due in self._due.items() if due <= now]:
            queue = self._held[slot]
            while queue and len(released) < count and due_ms(queue[0], self._policy) <= now:
                released.append(queue.popleft())
            if queue:
                self._due[slot] = due_ms(queue[0], self._policy)
            else:
                self.drop([slot])
                self._resume([slot])
        return released

    def next_due_in(self) -> float | None:
        """Return the seconds until the first held record is due; None when nothing is held."""
        if not self._due:
            return None
        return max(0.0, (min(self._due.values()) - self._time.now(self._monotonic())) / 1000)

    def drop(self, slots: Iterable[Slot]) -> None:
        """Forget partitions that leave or are read again."""
        for slot in slots:
            self._held.pop(slot, None)
            self._due.pop(slot, None)

    def clear(self) -> None:
        """Forget everything held."""
        self._held.clear()
        self._due.clear()

    @property
    def wants_time(self) -> bool:
        """Something is held, and the broker's clock is only known from old records."""
        return bool(self._held) and not self._time.is_fresh
