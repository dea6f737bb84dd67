"""The running state in memory: restored from the changelog, changed only by what was committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from kafka_orders.domain.averages import EMPTY, Tally, merge_all
from kafka_orders.domain.errors import StateMismatchError
from kafka_orders.domain.records import Progress, Slot, load_progress, load_shard, parse_key
from kafka_orders.domain.recovery import Bounds, check_place, check_shards, check_topic, start_offset
from kafka_orders.log.message import Message
from kafka_orders.pipeline.batch import Batch, went_back
from kafka_orders.pipeline.repair import Repair

Shards = dict[str, Tally]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch would make of the state; the truth once its transaction has committed."""

    progress: dict[Slot, Progress] = field(default_factory=dict)
    shards: dict[Slot, Shards] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """Progress and shards of the partitions this worker owns."""

    group: str
    progress: dict[Slot, Progress] = field(default_factory=dict)
    shards: dict[Slot, Shards] = field(default_factory=dict)

    def after(self, batch: Batch) -> Changes:
        """Return what ``batch`` makes of the state, without changing it.

        Raises:
            ConsumerLostError: the client delivered records that are counted already; build a new consumer.
        """
        changes = Changes()
        for slot, part in batch.slots.items():
            if part.first_offset < self.progress[slot].next_offset:
                raise went_back(slot, part.first_offset, self.progress[slot].next_offset)
            dead = sum(1 for routed in part.routed if routed.is_dead)
            changes.progress[slot] = self.progress[slot].plus(
                part.next_offset, part.processed, len(part.routed) - dead, dead, part.skipped
            )
            known = self.shards[slot]
            changes.shards[slot] = {
                product: known.get(product, EMPTY).add(values) for product, values in part.values.items()
            }
        return changes

    def apply(self, changes: Changes) -> None:
        """Make committed changes the truth."""
        self.progress.update(changes.progress)
        for slot, shards in changes.shards.items():
            self.shards[slot].update(shards)

    def drop(self, slots: Iterable[Slot]) -> None:
        """Forget partitions that leave, or whose last transaction's outcome is unknown."""
        for slot in slots:
            self.progress.pop(slot, None)
            self.shards.pop(slot, None)

    def product(self, product: str) -> Tally:
        """Return the tally of a product over the partitions owned here."""
        return merge_all(shards[product] for shards in self.shards.values() if product in shards)

    def overall(self) -> Tally:
        """Return the tally of all products over the partitions owned here."""
        return merge_all(self._all())

    def _all(self) -> Iterator[Tally]:
        return (shard for shards in self.shards.values() for shard in shards.values())


class UnsettledError(Exception):
    """What was read disagrees, perhaps only because another member works on.

    A process that was stopped for long does not know that its partitions have gone: their new owner commits
    between our reading of the offsets and of the state. A poll tells; and what is really wrong stays the same.
    """


@dataclass(frozen=True, slots=True)
class _Found:
    """What a restore has read."""

    group: str
    progress: dict[Slot, Progress]
    shards: dict[Slot, Shards]
    logs: dict[Slot, Bounds]
    topic_ids: dict[str, str]

    def start(self, slot: Slot, committed: int | None) -> int:
        """Return where a partition starts.

        Raises:
            StateMismatchError: it must not.
        """
        held = self.progress.get(slot)
        if held is not None:
            check_topic(slot, held, self.topic_ids[slot.topic])
        start = start_offset(slot, self.group, held, committed, self.logs[slot])
        counted = sum(tally.count for tally in self.shards.get(slot, {}).values())
        check_shards(slot, held or Progress(self.group, start), counted)
        return start


class Restorer:
    """Reads state back from Kafka, to the changelog's true end, before a first record is handled."""

    def __init__(self, repair: Repair, averages_topic: str, partitions: int) -> None:
        self._repair, self._admin, self._reader = repair, repair.admin, repair.reader
        self._topic, self._partitions = averages_topic, partitions
        #: State and committed offset of what did not fit when it was looked at last.
        self._doubts: dict[Slot, tuple[Progress | None, int | None]] = {}

    def restore(self, state: State, slots: Iterable[Slot]) -> dict[Slot, int]:
        """Fill ``state`` for ``slots``; return where each starts.

        The order matters: the committed offsets are read first and wait for open transactions (KIP-447);
        only then the changelog's ends are taken, so they lie behind all that those offsets cover.

        Raises:
            UnsettledError: they disagree for the first time; poll, and try again.
            StateMismatchError: state, offsets and log disagree, and the log does not prove the state right.
            RefusedError: the state is another pipeline's or a newer version's.
        """
        wanted = sorted(slots)
        committed = self._admin.committed(state.group, wanted)
        logs = self._admin.bounds(wanted)
        ids = {topic: self._admin.topic_id(topic) for topic in {slot.topic for slot in wanted}}
        changelog = self._admin.bounds({Slot(self._topic, slot.partition % self._partitions) for slot in wanted})
        progress, shards = self._read(changelog, set(wanted))
        found = _Found(state.group, progress, shards, logs, ids)
        if self._confirmed(found, committed):
            committed = self._repair.settle(state.group, progress, committed, logs)
        starts = {slot: found.start(slot, committed[slot]) for slot in wanted}
        for slot, start in starts.items():
            held = progress.get(slot) or Progress(state.group, start)
            state.shards[slot] = shards.get(slot, {})
            state.progress[slot] = replace(held, topic_id=ids[slot.topic])
        return starts

    def _confirmed(self, found: _Found, committed: Mapping[Slot, int | None]) -> bool:
        """Say whether something does not fit that did not fit the last time, with nobody at work in between.

        State and offset tell that, which every commit moves; the log's own ends move by themselves.

        Raises:
            UnsettledError: something does not fit for the first time.
        """
        doubts: dict[Slot, tuple[Progress | None, int | None]] = {}
        why = ""
        for slot, offset in committed.items():
            try:
                found.start(slot, offset)
            except StateMismatchError as mismatch:
                doubts[slot], why = (found.progress.get(slot), offset), str(mismatch)
        seen, self._doubts = self._doubts, doubts
        if doubts.items() - seen.items():
            raise UnsettledError(why)
        return bool(doubts)

    def check_topic(self, state: State) -> None:
        """Check that the topic is the one that was restored: the client goes on at old offsets in a new one.

        Raises:
            StateMismatchError: it is another topic under the same name.
        """
        for slot, progress in list(state.progress.items())[:1]:
            check_topic(slot, progress, self._admin.topic_id(slot.topic))

    def _read(
        self, changelog: dict[Slot, Bounds], wanted: set[Slot]
    ) -> tuple[dict[Slot, Progress], dict[Slot, Shards]]:
        newest: dict[tuple[bytes, int | None], Message] = {}
        for message in self._reader.read(changelog):
            key = message.key()
            if key is not None:
                newest[key, message.partition()] = message
        progress: dict[Slot, Progress] = {}
        shards: dict[Slot, Shards] = {}
        for (key, partition), message in newest.items():
            place, value = parse_key(key), message.value()
            if place is None or place.slot not in wanted or value is None:
                continue
            check_place(place.slot, partition, self._partitions)
            if place.product is None:
                progress[place.slot] = load_progress(value)
            else:
                shards.setdefault(place.slot, {})[place.product] = load_shard(value).tally
        return progress, shards
