"""Consumer lag: how many records each group still has before it, partition by partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.settings import Settings
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message, slot_of
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.gate import due_ms

#: Below this many offsets the records are really counted, since commit markers take offsets too.
_COUNTED_BELOW = 10_000


@dataclass(frozen=True, slots=True)
class Lag:
    """One partition of one group; ``lag`` in records (an upper bound beyond 10,000).

    ``waiting`` of them are retries that are not due yet, which is no trouble; None where that is unknown:
    in other topics than retry's, and beyond 10,000.
    """

    group: str
    slot: Slot
    committed: int | None
    end: int
    lag: int
    waiting: int | None = None


def lags(settings: Settings, admin: Admin, reader: Reader, now_ms: int) -> list[Lag]:
    """Return the lag of the main, retry and dead letter groups.

    ``now_ms`` (epoch milliseconds) decides which retries are due, as the retry policy of ``settings`` says;
    a clock that is off shifts only this view.

    Raises:
        BrokerError: a topic does not exist.
    """

    def not_due(message: Message) -> bool:
        return due_ms(message, settings.policy) > now_ms

    return [
        *_of_group(admin, reader, settings.group, settings.topic),
        *_of_group(admin, reader, settings.retry_group, settings.retry_topic, not_due),
        *_of_group(admin, reader, settings.dlq_group, settings.dlq_topic),
    ]


def totals(lags: Iterable[Lag]) -> list[Lag]:
    """Return one sum per group and topic, which stand together, with partition -1; unknown where a part is."""
    sums = []
    for (group, topic), parts in groupby(lags, lambda one: (one.group, one.slot.topic)):
        known = [(one.lag, one.waiting) for one in parts]
        waits = [waiting for _, waiting in known if waiting is not None]
        waiting = sum(waits) if len(waits) == len(known) else None
        sums.append(Lag(group, Slot(topic, -1), None, 0, sum(lag for lag, _ in known), waiting))
    return sums


def _of_group(
    admin: Admin, reader: Reader, group: str, topic: str, not_due: Callable[[Message], bool] | None = None
) -> list[Lag]:
    slots = admin.slots(topic)
    committed = admin.committed(group, slots)
    bounds = admin.bounds(slots, committed_only=True)
    unread = {slot: Bounds(max(found.start, committed[slot] or 0), found.end) for slot, found in bounds.items()}
    small = {slot: one for slot, one in unread.items() if one.end - one.start < _COUNTED_BELOW}
    counts, waits = dict.fromkeys(small, 0), dict.fromkeys(small if not_due else (), 0)
    for message in reader.read(small):
        slot = slot_of(message)
        counts[slot] += 1
        if not_due and not_due(message):
            waits[slot] += 1
    return [
        Lag(group, slot, committed[slot], bounds[slot].end, counts.get(slot, one.end - one.start), waits.get(slot))
        for slot, one in unread.items()
    ]
