"""Consumer lag: how many records each group still has before it, partition by partition."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.settings import Settings
from kafka_orders.log.admin import Admin
from kafka_orders.log.reader import Reader

#: Below this many offsets the records are really counted, since commit markers take offsets too.
_COUNTED_BELOW = 10_000


@dataclass(frozen=True, slots=True)
class Lag:
    """One partition of one group; ``lag`` in records (an upper bound beyond 10,000)."""

    group: str
    slot: Slot
    committed: int | None
    end: int
    lag: int


def lags(settings: Settings, admin: Admin, reader: Reader) -> list[Lag]:
    """Return the lag of the main, retry and dead letter groups.

    For the retry group a lag is no trouble in itself: its records wait for their time.

    Raises:
        BrokerError: a topic does not exist.
    """
    groups = [
        (settings.group, settings.topic),
        (settings.retry_group, settings.retry_topic),
        (settings.dlq_group, settings.dlq_topic),
    ]
    return [lag for group, topic in groups for lag in _of_group(admin, reader, group, topic)]


def _of_group(admin: Admin, reader: Reader, group: str, topic: str) -> list[Lag]:
    slots = admin.slots(topic)
    committed = admin.committed(group, slots)
    bounds = admin.bounds(slots, committed_only=True)
    unread = {slot: Bounds(max(found.start, committed[slot] or 0), found.end) for slot, found in bounds.items()}
    small = {slot: one for slot, one in unread.items() if one.end - one.start < _COUNTED_BELOW}
    counts = dict.fromkeys(small, 0)
    for message in reader.read(small):
        counts[Slot(message.topic() or "", message.partition() or 0)] += 1
    return [
        Lag(group, slot, committed[slot], bounds[slot].end, counts.get(slot, one.end - one.start))
        for slot, one in unread.items()
    ]
