"""The committed state of a whole pipeline, read while its workers go on."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka_orders.domain.averages import Tally, merge_all
from kafka_orders.domain.records import Progress, Slot, load_progress, load_shard, parse_key
from kafka_orders.domain.recovery import Bounds
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message
from kafka_orders.log.reader import Reader


@dataclass(slots=True)
class SlotState:
    """Progress and shards of one source partition, as one transaction left them."""

    progress: Progress
    shards: dict[str, Tally] = field(default_factory=dict)


class Snapshot:
    """The newest state of every source partition; :meth:`refresh` reads only what is new.

    Each partition's state is whole: what one transaction wrote for it is there with all its records or
    not at all. An end offset can lie in the middle of a transaction, so a second read, to an end taken
    after the first, adds the rest: a committed transaction's records are all in the log by then.
    """

    def __init__(self, admin: Admin, reader: Reader, averages_topic: str) -> None:
        self._admin, self._reader = admin, reader
        self._partitions = admin.slots(averages_topic)
        self._read_to = dict.fromkeys(self._partitions, 0)
        self.slots: dict[Slot, SlotState] = {}
        self._orphans: dict[Slot, dict[str, Tally]] = {}

    def refresh(self) -> None:
        """Read on to the end of the log as it is now.

        Raises:
            RefusedError: the topic holds records of a newer version.
        """
        for message in self._news():
            self._apply(message, rest_only=False)
        resume = dict(self._read_to)
        for message in self._news():
            self._apply(message, rest_only=True)
        self._read_to = resume  # what belongs to later transactions is read again next time

    def _news(self) -> list[Message]:
        bounds = self._admin.bounds(self._partitions)
        ranges = {slot: Bounds(max(found.start, self._read_to[slot]), found.end) for slot, found in bounds.items()}
        messages = list(self._reader.read(ranges))
        self._read_to = {slot: found.end for slot, found in bounds.items()}
        return messages

    def _apply(self, message: Message, *, rest_only: bool) -> None:
        key, value = parse_key(message.key()), message.value()
        if key is None:
            return
        if key.product is None:
            if not rest_only:
                self._progressed(key.slot, value)
        elif value is not None:
            shard, held = load_shard(value), self.slots.get(key.slot)
            if held is None:
                # Compaction may have kept an old shard before the newest progress record of its slot.
                self._orphans.setdefault(key.slot, {})[key.product] = shard.tally
            elif not rest_only or shard.next_offset == held.progress.next_offset:
                held.shards[key.product] = shard.tally

    def _progressed(self, slot: Slot, value: bytes | None) -> None:
        held = self.slots.get(slot)
        if value is None:
            self.slots.pop(slot, None)
        elif held is None:
            self.slots[slot] = SlotState(load_progress(value), self._orphans.pop(slot, {}))
        else:
            held.progress = load_progress(value)

    def products(self) -> dict[str, Tally]:
        """Return the tally of each product, merged over all partitions of main and retry."""
        shards = [state.shards for state in self.slots.values()]
        names = sorted({name for one in shards for name in one})
        return {name: merge_all(one[name] for one in shards if name in one) for name in names}

    def overall(self) -> Tally:
        """Return the tally of everything counted."""
        return merge_all(shard for state in self.slots.values() for shard in state.shards.values())
