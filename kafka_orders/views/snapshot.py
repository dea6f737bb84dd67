"""The committed state of a whole pipeline, read while its workers go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

from kafka_orders.domain.averages import Tally, merge_all
from kafka_orders.domain.records import BulkKey, Progress, Slot, StateKey, load_progress, parse_bulk_key, parse_key
from kafka_orders.domain.recovery import Bounds, unread
from kafka_orders.domain.replay import Replay
from kafka_orders.domain.shards import Shards
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message, append_time_ms
from kafka_orders.log.reader import Reader


@dataclass(slots=True)
class SlotState:
    """Progress and shards of one source partition, as one transaction left them."""

    progress: Progress
    shards: Shards = field(default_factory=Shards)


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
        #: What was read of each slot; compaction may have kept a shard before its slot's newest progress record.
        self._replays: defaultdict[Slot, Replay] = defaultdict(Replay)

    def follow(self, bounds: Mapping[Slot, Bounds], told: Callable[[Message], None]) -> None:
        """Read on to the ends in ``bounds``, which are last stable offsets: no transaction lies across one.

        So nothing is waited for, as :meth:`refresh` does, which is up to date, too. ``told`` hears of each record
        after it has been taken, in the order of their times.

        Raises:
            RefusedError: the topic holds records of a newer version.
        """
        # By the broker's time, but each partition in its own order: a clock may step back.
        latest: dict[int | None, int] = {}
        dated: list[tuple[int, Message]] = []
        for message in self._reader.read(unread(bounds, self._read_to)):
            at_ms = max(latest.get(message.partition(), 0), append_time_ms(message) or 0)
            latest[message.partition()] = at_ms
            dated.append((at_ms, message))
        for _, message in sorted(dated, key=itemgetter(0)):
            self._apply(parse_key(message.key()) or parse_bulk_key(message.key()), message.value())
            told(message)
        self.settle()
        self._read_to.update({slot: one.end for slot, one in bounds.items()})

    def settle(self) -> None:
        """Bring the shards up to date with what has been read so far."""
        for replay in self._replays.values():
            replay.settle()

    def refresh(self) -> None:
        """Read on to the end of the log as it is now.

        Raises:
            RefusedError: the topic holds records of a newer version.
        """
        for message in self._news():
            self._apply(parse_key(message.key()) or parse_bulk_key(message.key()), message.value())
        self.settle()
        resume = dict(self._read_to)
        for message in self._news():
            place, value = parse_key(message.key()) or parse_bulk_key(message.key()), message.value()
            if place is not None and value is not None and place.slot in self.slots:
                self._replays[place.slot].rest(place, value, self.slots[place.slot].progress.next_offset)
        self._read_to = resume  # what belongs to later transactions is read again next time

    def _news(self) -> list[Message]:
        bounds = self._admin.bounds(self._partitions)
        messages = list(self._reader.read(unread(bounds, self._read_to)))
        self._read_to = {slot: found.end for slot, found in bounds.items()}
        return messages

    def _apply(self, place: StateKey | BulkKey | None, value: bytes | None) -> None:
        if isinstance(place, BulkKey):
            self._replays[place.slot].bulk(place, value)
        elif place is not None and place.product is not None:
            self._replays[place.slot].shard(place.product, value)
        elif place is not None and value is not None:
            self.slots[place.slot] = SlotState(load_progress(value), self._replays[place.slot].shards)
        elif place is not None:
            self.slots.pop(place.slot, None)

    def products(self) -> dict[str, Tally]:
        """Return the tally of each product, merged over all partitions of main and retry."""
        shards = [state.shards for state in self.slots.values()]
        names = sorted({name for one in shards for name in one})
        return {name: merge_all(one[name] for one in shards if name in one) for name in names}

    def overall(self) -> Tally:
        """Return the tally of everything counted."""
        for state in self.slots.values():
            state.shards.sum_up()
        return merge_all(state.shards.overall for state in self.slots.values())
