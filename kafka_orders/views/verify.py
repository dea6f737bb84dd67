"""``verify``: reads the committed state, then the topics, and audits one against the other.

The order of reading is the proof that no moment is torn while roles run: committed offsets, state,
committed offsets again, then the ends of orders, retry and dead letters. So every link that the state's
transactions wrote lies below the ends read, and every link's order lies below the ends taken last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from kafka_orders.deadletters.book import Book
from kafka_orders.domain import headers
from kafka_orders.domain.errors import UNREADABLE, BrokerError
from kafka_orders.domain.order import Contract, Decode
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import Standing
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message, headers_of, link_of, offset_of, slot_of
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.startup import readers
from kafka_orders.views.audit import Audit, Seen
from kafka_orders.views.snapshot import SlotState, Snapshot
from kafka_orders.views.verify_agreement import Agreement, Offsets, Origins
from kafka_orders.views.verify_replays import Replays

#: Told of what is read, with the records expected and, then, how many more are done.
Progressed = Callable[[str, int, int], None]

_READ_SECONDS = 60.0
_TELL_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One source partition in the verdict."""

    partition: Slot
    next_offset: int
    processed: int
    retried: int
    dead: int
    skipped: int
    unread: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was proved, and what was not."""

    deep: bool
    findings: list[str]
    partitions: list[Row]
    counted: int
    waiting: int
    #: Orders that stand in the dead letter queue; one that was sent back from there is waiting, counted or dead.
    dead: int
    skipped: int
    unread: int
    #: Offsets that retention removed from orders, retry and dead letters.
    not_provable: int
    #: Dead letters that something became of, by status.
    statuses: dict[str, int] = field(default_factory=dict)
    #: Orders that should be counted and cannot be read: by these settings, unless it is their bytes.
    unreadable: int = 0

    @property
    def holds(self) -> bool:
        """Nothing is missing and nothing doubled."""
        return not self.findings

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        total = self.counted + self.waiting + self.dead + self.skipped + self.unread
        parts = [f"{self.counted} counted", f"{self.waiting} waiting for a retry", f"{self.dead} dead"]
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts += [f"{self.unread} not read yet"] if self.unread else []
        became = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        if not self.holds:
            unread = f"; {self.unreadable} that should be counted {UNREADABLE}" if self.unreadable else ""
            return f"does NOT hold: {len(self.findings)} findings in {total} orders{unread}"
        limits = f"; not provable for {self.not_provable} that retention removed" if self.not_provable else ""
        # With a part removed by retention some of it is the state's word, not proved.
        how = "proved order by order" if self.deep and not self.not_provable else "holds"
        return f"{how}: {total} orders = {' + '.join(parts)}; 0 lost, 0 doubled{limits}" + (
            f"; dead letters: {became}" if became else ""
        )


def verify(
    settings: Settings,
    decode: Decode,
    *,
    deep: bool,
    contract: Contract | None = None,
    progress: Progressed = lambda _what, _total, _more: None,
) -> Verdict:
    """Audit a pipeline while its roles run; ``deep`` recomputes counts and sums from the orders.

    Raises:
        NoBrokerError: nobody answers.
        BrokerError: a topic does not exist.
    """
    with readers(settings, _READ_SECONDS) as (admin, reader):
        seen = _Verification(settings, admin, reader, progress)
        audit = Audit(decode if deep and seen.links_complete else None, contract or Contract())
        audit.links_complete = seen.links_complete
        return seen.judged(audit, deep=deep)


class _Verification:
    """The committed state, and how far the topics have to be read to judge it; then the reading."""

    def __init__(self, settings: Settings, admin: Admin, reader: Reader, progress: Progressed) -> None:
        self.settings, self.admin, self.reader, self.progress = settings, admin, reader, progress
        self.replays = Replays()
        groups = {settings.topic: settings.group, settings.retry_topic: settings.retry_group}
        self.state = Snapshot(admin, reader, settings.averages_topic)
        slots = {topic: admin.slots(topic) for topic in (*groups, settings.dlq_topic)}

        def committed() -> dict[str, Offsets]:
            return {topic: admin.committed(group, slots[topic]) for topic, group in groups.items()}

        before = committed()
        self.state.refresh()
        after = committed()
        # Bounds after the state: every link that the state's transactions wrote lies below them.
        self.sources = {topic: admin.bounds(found) for topic, found in slots.items()}
        #: Ends of orders taken after all other bounds.
        self.last_ends = admin.bounds(slots[settings.topic])
        self.agreements = [
            Agreement(topic, group, len(slots[topic]), before[topic], after[topic])
            for topic, group in groups.items()
        ]
        links = (self.sources[settings.retry_topic], self.sources[settings.dlq_topic])
        #: Retention removed no link: what has none was not routed. Else only the state can tell.
        self.links_complete = all(one.start == 0 for bounds in links for one in bounds.values())

    def judged(self, audit: Audit, *, deep: bool) -> Verdict:
        """Read the topics, and return what they prove."""
        settings, sources = self.settings, self.sources
        for topic in (settings.dlq_topic, settings.retry_topic):
            for message in self._read(sources[topic]):
                link, dead = link_of(message), topic == settings.dlq_topic
                audit.link(link, dead=dead)
                self.replays.link(headers.replay_of(headers_of(message)), link[3], dead=dead)
        origins = Origins(settings.topic, sources[settings.topic], self.last_ends)
        origins.links(audit.retries, audit.dead)
        for topic in (settings.topic, settings.retry_topic):
            self._records(sources[topic], audit, origins)
        states = {slot: held.progress for slot, held in self.state.slots.items()}
        findings = [told for one in self.agreements for told in one.findings(states)]
        findings += origins.findings() + audit.findings()
        standings = self._standings()
        if standings is not None and self.links_complete:
            findings += self.replays.findings(standings, settings.retry_topic)
        verdict = self._verdict(findings, audit.slots, standings or {}, deep=deep)
        return replace(verdict, unreadable=audit.unreadable)

    def _standings(self) -> dict[str, Standing] | None:
        """Return the statuses as they are after all else was read; None where they cannot be read."""
        book = Book(self.admin, self.reader, self.settings.dlq_status_topic)
        try:
            book.refresh()
        except BrokerError:
            return None  # an older pipeline has none, or this user may not see it
        return book.all(self.settings.dlq_topic)

    def _records(self, bounds: dict[Slot, Bounds], audit: Audit, origins: Origins) -> None:
        from_orders = next(iter(bounds)).topic == self.settings.topic
        for slot, found in bounds.items():
            held = self.state.slots.get(slot) or SlotState(Progress("", found.start))
            audit.partition(slot, held.progress, held.shards, found.start)
        for message in self._read(bounds):
            slot, offset = slot_of(message), offset_of(message)
            if from_orders:
                origins.record(slot, offset)
            link = (*slot, offset, 0, 0) if from_orders else link_of(message)
            outcome = audit.record(slot, offset, link, message.value(), headers_of(message))
            if link[4]:
                self.replays.handled(headers.replay_of(headers_of(message)), outcome)

    def _read(self, bounds: dict[Slot, Bounds]) -> Iterator[Message]:
        topic = next(iter(bounds)).topic
        total = sum(one.end - one.start for one in bounds.values())
        number = 0
        self.progress(topic, total, 0)
        for number, message in enumerate(self.reader.read(bounds), 1):
            if number % _TELL_EVERY == 0:
                self.progress(topic, total, _TELL_EVERY)
            yield message
        self.progress(topic, total, number % _TELL_EVERY)

    def _verdict(
        self, findings: list[str], seen: Mapping[Slot, Seen], standings: Mapping[str, Standing], *, deep: bool
    ) -> Verdict:
        settings = self.settings
        rows = [_row(slot, one, proved=self.links_complete) for slot, one in sorted(seen.items())]
        since = sum(one.dead_since for one in seen.values())
        return Verdict(
            deep=deep,
            findings=findings,
            partitions=rows,
            counted=sum(row.processed for row in rows),
            waiting=sum(row.unread for row in rows if row.partition.topic == settings.retry_topic),
            dead=max(0, sum(row.dead for row in rows) + since - self.replays.sent.total()),
            skipped=sum(row.skipped for row in rows),
            unread=sum(row.unread for row in rows if row.partition.topic == settings.topic),
            not_provable=sum(one.start for found in self.sources.values() for one in found.values()),
            statuses=dict(Counter(one.status for one in standings.values())),
        )


def _row(slot: Slot, seen: Seen, *, proved: bool) -> Row:
    """Return a partition's row: what the topics say, or the state's word where links were removed."""
    told = seen if proved else seen.progress
    return Row(slot, seen.progress.next_offset, told.processed, told.retried, told.dead, told.skipped, seen.ahead)
