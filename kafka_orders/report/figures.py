"""From what was read to the figures of a report: averages, rates, lag, and how they came about."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from kafka_orders.deadletters.jobs import RUNNING, TOOLS
from kafka_orders.deadletters.watch import printable
from kafka_orders.domain.averages import Tally
from kafka_orders.domain.records import OUTCOMES, Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.standing import FAILED_AGAIN, RESOLVED, JobRecord
from kafka_orders.report.ages import Ages
from kafka_orders.report.history import MOST, History, Rate
from kafka_orders.report.model import Average, Flow, PartitionLag, Report, Sample
from kafka_orders.report.parts import Parts

#: Products told of, those with the most orders, and with how many of them samples have each one's average.
MOST_PRODUCTS = 100
SAMPLED_PRODUCTS = 50
MOST_JOBS = 20
#: So few unread offsets are looked at: are they records at all?
MOST_MARKS = 20
#: Merging all products may take this part of the time.
_SHARE = 0.05


class Figures:
    """The figures of one pipeline over time."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._settings, self._state = parts, parts.settings, parts.state
        self._history: History | None = None
        self._rates = [Rate() for _ in range(4)]
        self._ages: defaultdict[Slot, Ages] = defaultdict(Ages)
        self._products: dict[str, Tally] = {}
        self._sent: dict[str, int] = {}
        self._stood: dict[Slot, int] = {}
        self._empty: dict[Slot, int] = {}
        self._looked: dict[Slot, tuple[int, int]] = {}
        self._merged_at, self._merging = float("-inf"), 0.0

    def at(self, at_ms: int) -> None:
        """Take a sample at the time of a record of the state, unless one was taken just before."""
        if self._history is None:  # coarse enough for all that is to come, up to now
            self._history = History((int(time.time() * 1000) - at_ms) // (MOST // 2))
        if self._history.wants(at_ms):
            self._state.settle()
            self._history.add(self._sample(at_ms))

    def _sample(self, at_ms: int) -> Sample:
        counts = self._outcomes()
        few = max((len(one.shards) for one in self._state.slots.values()), default=0) <= SAMPLED_PRODUCTS
        products = {printable(name): one.average for name, one in self._state.products().items()} if few else {}
        overall = self._state.overall().average
        return Sample(at_ms, overall, counts["processed"], counts["retried"], counts["dead"], products)

    def _outcomes(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for one in self._state.slots.values():
            for name in OUTCOMES:
                counts[name] += getattr(one.progress, name)
        return counts

    def unseen(self, bounds: Mapping[Slot, Bounds]) -> Iterator[tuple[Slot, int]]:
        """Yield partitions and offsets of first unread orders that nobody saw come."""
        for slot, offset in self._next_offsets(bounds).items():
            if slot.topic == self._settings.topic:
                self._ages[slot].see(int(time.time() * 1000), bounds[slot].end)
                if self._ages[slot].wants(offset):
                    yield slot, offset

    def know(self, slot: Slot, written_ms: int, offset: int) -> None:
        """Take when such a record was written."""
        self._ages[slot].know(written_ms, offset)

    def still(self, bounds: Mapping[Slot, Bounds]) -> Iterator[tuple[Slot, Bounds]]:
        """Yield what little is unread of partitions that have not moved: it may be marks of transactions only.

        A transactional producer, or a replay to the orders topic, leaves such a mark behind its last record, which
        nobody handles until the next order comes.
        """
        for slot, offset in self._next_offsets(bounds).items():
            end = bounds[slot].end
            before, self._stood[slot] = self._stood.get(slot), offset
            is_small = slot.topic == self._settings.topic and 0 < end - offset <= MOST_MARKS
            if is_small and before == offset and self._looked.get(slot) != (offset, end):
                self._looked[slot] = offset, end
                yield slot, Bounds(offset, end)

    def empty(self, slot: Slot, end: int) -> None:
        """Take that there is no record before ``end``."""
        self._empty[slot] = end

    def _next_offsets(self, bounds: Mapping[Slot, Bounds]) -> dict[Slot, int]:
        read = (self._settings.topic, self._settings.retry_topic)
        held = {slot: state.progress.next_offset for slot, state in self._state.slots.items()}
        return {slot: max(one.start, held.get(slot, 0)) for slot, one in bounds.items() if slot.topic in read}

    def report(self, bounds: Mapping[Slot, Bounds], now_ms: int) -> Report:
        """Assemble the report of now."""
        parts, around = self._parts, self._parts.around
        self._merge()
        letters = parts.dead.letters(parts.book.notes)
        if self._history is not None:
            self._history.add(self._sample(now_ms))
        overall = self._state.overall()
        largest = sorted(self._products.items(), key=lambda one: -one[1].count)[:MOST_PRODUCTS]
        ends = {name: sum(one.end - one.start for slot, one in bounds.items() if slot.topic == name)
                for name in around.topics}  # fmt: skip
        return Report(
            at_ms=now_ms,
            flow=self._flow(bounds, len(parts.waiting), now_ms),
            overall=average_of("all", overall),
            products=tuple(average_of(printable(name), one) for name, one in sorted(largest)),
            product_count=len(self._products),
            bands=parts.waiting.bands(now_ms),
            lag=(*self._lag(bounds, now_ms), *self._shown_lag(bounds)),
            letters=letters,
            failures=parts.dead.failures(),
            groups=around.groups,
            topics=around.told(ends),
            latency=parts.latencies.latency(),
            breakers={name: printable(why) for name, why in parts.book.breakers.items() if why},
            replays=self._replays(),
            jobs=_jobs(parts.book.jobs.values()),
            history=self._history.samples() if self._history else (),
        )

    def _replays(self) -> dict[str, int]:
        """Count replays by their outcome; the statuses are kept for ever, so the counts only grow."""
        jobs = self._parts.book.jobs.values()
        for one in jobs:
            self._sent[one.id] = max(one.done, self._sent.get(one.id, 0))  # one that is resumed counts anew
        sent = sum(self._sent[one.id] for one in jobs if one.action in ("replay", "edit"))
        return {"requested": sent, **{name: self._parts.ended[name] for name in (RESOLVED, FAILED_AGAIN)}}

    def _merge(self) -> None:
        """Merge the products anew, but no more often than merging a hundred thousand of them allows."""
        began = time.monotonic()
        if began - self._merged_at >= self._merging / _SHARE:
            self._products = self._state.products()
            self._merged_at = time.monotonic()
            self._merging = self._merged_at - began

    def _flow(self, bounds: Mapping[Slot, Bounds], waiting: int, now_ms: int) -> Flow:
        counts = self._outcomes()
        written = sum(one.end for slot, one in bounds.items() if slot.topic == self._settings.topic)
        counters = written, counts["processed"], counts["retried"], counts["dead"]
        speeds = (rate.see(now_ms, count) for rate, count in zip(self._rates, counters, strict=True))
        return Flow(*counters, counts["skipped"], waiting, *speeds)

    def _lag(self, bounds: Mapping[Slot, Bounds], now_ms: int) -> Iterator[PartitionLag]:
        settings = self._settings
        for slot, offset in self._next_offsets(bounds).items():
            end, group = bounds[slot].end, settings.group
            if slot.topic == settings.retry_topic:
                group = settings.retry_group
                unread, not_due, seconds = self._parts.waiting.of(slot, now_ms)
            else:
                unread, not_due = (0 if self._empty.get(slot) == end else max(0, end - offset)), 0
                seconds = self._ages[slot].seconds(now_ms, offset)  # type: ignore[assignment]
            yield PartitionLag(group, *slot, offset, end, unread, not_due, seconds)

    def _shown_lag(self, bounds: Mapping[Slot, Bounds]) -> Iterator[PartitionLag]:
        """What the dead letter viewer has before it; where nobody views, that is no trouble."""
        for slot, shown in self._parts.around.shown.items():
            if shown is not None and slot in bounds:
                unread = max(0, bounds[slot].end - shown)
                yield PartitionLag(
                    self._settings.dlq_group, *slot, shown, bounds[slot].end, unread, 0, None if unread else 0.0
                )


def _jobs(found: Iterable[JobRecord]) -> tuple[JobRecord, ...]:
    """Return the latest runs of tools, those that run first; notes and the like are for the audit."""
    tools = (replace(one, selection={**one.selection, "ids": len(one.selection.get("ids", ()))})
             for one in found if one.action in TOOLS)  # fmt: skip
    return tuple(sorted(sorted(tools, key=lambda one: one.id, reverse=True), key=_has_ended)[:MOST_JOBS])


def _has_ended(job: JobRecord) -> bool:
    return job.state != RUNNING


def average_of(product: str, held: Tally) -> Average:
    """Return the average of a tally."""
    return Average(product, held.count, held.average, held.min, held.max, held.total)
