"""What came after a dead letter with the same key: replaying an old order over a newer one may undo it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.queue import Queue
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.standing import LetterId
from kafka_orders.log.message import offset_of, slot_of

#: Records of a source partition that are looked at; beyond, nothing is said.
MOST_RECORDS = 1_000_000


def newer(queue: Queue, letters: Iterable[Letter]) -> dict[LetterId, int]:
    """Return for each letter how many newer orders with its key main has handled since; none: left out.

    Orders of one key are in one partition, so it reads from the oldest letter's origin to what main has committed,
    at most a million records of each partition. A letter without key or origin has nothing newer.
    """
    partitions = queue.admin.partition_counts([queue.settings.topic]).get(queue.settings.topic, 0)
    wanted: dict[Slot, dict[bytes, list[tuple[int, LetterId]]]] = {}
    for letter in letters:
        origin, key = letter.told.origin, letter.key
        is_ours = origin is not None and origin.topic == queue.settings.topic and origin.partition < partitions
        if origin is not None and is_ours and key is not None:
            by_key = wanted.setdefault(Slot(origin.topic, origin.partition), {})
            by_key.setdefault(key, []).append((origin.offset, letter.id))
    found: defaultdict[LetterId, int] = defaultdict(int)
    for message in queue.reader.read(_ranges(queue, wanted)):
        key = message.key()
        for offset, letter_id in wanted[slot_of(message)].get(
            key.encode() if isinstance(key, str) else key or b"", ()
        ):
            found[letter_id] += offset_of(message) > offset
    return {letter_id: count for letter_id, count in found.items() if count}


def _ranges(queue: Queue, wanted: dict[Slot, dict[bytes, list[tuple[int, LetterId]]]]) -> dict[Slot, Bounds]:
    starts = {
        slot: min(offset for each in keys.values() for offset, _ in each) + 1 for slot, keys in wanted.items()
    }
    bounds = queue.admin.bounds(starts)
    handled = queue.admin.committed(queue.settings.group, starts)
    ranges = {}
    for slot, start in starts.items():
        first = max(start, bounds[slot].start)
        ranges[slot] = Bounds(first, min(bounds[slot].end, handled[slot] or 0, first + MOST_RECORDS))
    return ranges
