"""The running state in memory: restored from the changelog, changed only by what was committed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain

from kafka_orders.domain.averages import Tally, merge_all, tally
from kafka_orders.domain.bulk import Journal, Values, load_delta
from kafka_orders.domain.errors import StateMismatchError
from kafka_orders.domain.records import (
    BulkKey,
    Progress,
    Slot,
    load_progress,
    parse_bulk_key,
    parse_key,
)
from kafka_orders.domain.recovery import Bounds, check_place, check_shards, check_topic, start_offset
from kafka_orders.domain.replay import Replay
from kafka_orders.domain.shards import Shards
from kafka_orders.pipeline.batch import Batch, went_back
from kafka_orders.pipeline.changes import Changes, Few, Many
from kafka_orders.pipeline.repair import Repair

#: A transaction that changes more shards than this writes deltas and blocks, a smaller one a record for each.
FEW = 1_000
#: Changed shards in deltas that may be folded later: what a backlog brings is added up when there is time.
OWED = 1_000_000
#: So many are folded at once, in a few milliseconds.
_STEP = 5_000


@dataclass(slots=True)
class State:
    """Progress and shards of the partitions this worker owns."""

    group: str
    progress: dict[Slot, Progress] = field(default_factory=dict)
    shards: dict[Slot, Shards] = field(default_factory=dict)
    journals: dict[Slot, Journal] = field(default_factory=dict)

    def after(self, batch: Batch) -> Changes:
        """Return what ``batch`` makes of the state, without changing any figure.

        Raises:
            ConsumerLostError: the client delivered records that are counted already; build a new consumer.
        """
        changes = Changes()
        are_few = sum(len(part.values) for part in batch.slots.values()) <= FEW
        for slot, part in batch.slots.items():
            before = self.progress[slot]
            if part.first_offset < before.next_offset:
                raise went_back(slot, part.first_offset, before.next_offset)
            dead = sum(1 for routed in part.routed if routed.is_dead)
            changes.progress[slot] = before.plus(
                part.next_offset, part.processed, len(part.routed) - dead, dead, part.skipped
            )
            change = self._few if not part.values or (are_few and not self.journals[slot].owed) else self._many
            changes.shards[slot] = change(slot, part.values, part.next_offset)
        return changes

    def _few(self, slot: Slot, values: Values, next_offset: int) -> Few:
        shards, rows = self.shards[slot], dict[str, bytes]()
        return Few(slot, shards, rows, shards.fold(values, next_offset, rows))

    def _many(self, slot: Slot, values: Values, next_offset: int) -> Many:
        shards, journal = self.shards[slot], self.journals[slot]
        plan = journal.plan(values, shards, self.progress[slot].next_offset, next_offset)
        return Many(slot, shards, journal, plan, tally(list(chain.from_iterable(values.values()))))

    def apply(self, changes: Changes) -> None:
        """Make committed changes the truth."""
        self.progress.update(changes.progress)
        for change in changes.shards.values():
            change.apply()
        owed = sum(many for journal in self.journals.values() for many, _ in journal.owed)
        is_calm = not any(isinstance(change, Many) for change in changes.shards.values())
        self.fold(min(_STEP, owed) if is_calm else owed - OWED)

    def fold(self, most: int = _STEP) -> None:
        """Add up what deltas hold, at least so many changed shards, oldest first; nothing where ``most`` is 0."""
        for slot, journal in self.journals.items():
            while most > 0 and journal.owed:
                many, record = journal.owed.popleft()
                delta, shards = load_delta(record), self.shards[slot]
                shards.replay(delta)
                journal.fold(delta, shards.fresh)
                most -= many

    def drop(self, slots: Iterable[Slot]) -> None:
        """Forget partitions that leave, or whose last transaction's outcome is unknown."""
        for slot in slots:
            for held in (self.progress, self.shards, self.journals):
                held.pop(slot, None)

    def product(self, product: str) -> Tally:
        """Return the tally of a product over the partitions owned here."""
        held = [shards[product] for shards in self.shards.values() if product in shards]
        needle = json.dumps(product)[1:-1].encode()
        for journal in self.journals.values():
            deltas = (load_delta(record) for _, record in journal.owed if needle in record)
            held += [tally(delta.values[product]) for delta in deltas if product in delta.values]
        return merge_all(held)

    def overall(self) -> Tally:
        """Return the tally of all products over the partitions owned here."""
        return merge_all(shards.overall for shards in self.shards.values())


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
    replays: dict[Slot, Replay]
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
        counted = self.replays[slot].shards.overall.count if slot in self.replays else 0
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
        progress, replays = self._read(changelog, set(wanted))
        journals = {slot: replay.settle() for slot, replay in replays.items()}
        for replay in replays.values():
            replay.shards.sum_up()
        found = _Found(state.group, progress, replays, logs, ids)
        if self._confirmed(found, committed):
            committed = self._repair.settle(state.group, progress, committed, logs)
        starts = {slot: found.start(slot, committed[slot]) for slot in wanted}
        for slot, start in starts.items():
            held = progress.get(slot) or Progress(state.group, start)
            state.shards[slot] = replays[slot].shards
            state.journals[slot] = journals[slot]
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
    ) -> tuple[dict[Slot, Progress], dict[Slot, Replay]]:
        progress: dict[Slot, bytes | None] = {}
        replays = {slot: Replay() for slot in wanted}
        shards: dict[tuple[bytes, int | None], Callable[[str, bytes | None], None]] = {}
        for message in self._reader.read(changelog):
            key, value, partition = message.key() or b"", message.value(), message.partition()
            end = key.find(b"/", key.find(b"/") + 1)
            if end > 0 and (feed := shards.get((key[:end], partition))):
                with suppress(UnicodeDecodeError):
                    feed(key[end + 1 :].decode(), value)
                continue
            place = parse_key(key) or parse_bulk_key(key)
            if place is None or place.slot not in replays:
                continue
            if value is not None:
                check_place(place.slot, partition, self._partitions)
            if isinstance(place, BulkKey):
                replays[place.slot].bulk(place, value)
            elif place.product is None:
                progress[place.slot] = value
            else:
                replays[place.slot].shard(place.product, value)
                if value is not None:  # in the right place, so the next one of this slot is, too
                    shards[key[:end], partition] = replays[place.slot].shard
        return {slot: load_progress(value) for slot, value in progress.items() if value is not None}, replays
