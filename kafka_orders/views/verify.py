"""``verify``: reads the committed state, then the topics, and audits one against the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka_orders.domain import headers
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.order import Contract
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.settings import Settings
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message, headers_of, offset_of, slot_of
from kafka_orders.log.patience import Patience
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.startup import connection_of, contact
from kafka_orders.views.audit import Audit, Link
from kafka_orders.views.snapshot import Snapshot

#: Told of what is read, with the records expected and, then, how many more are done.
Progressed = Callable[[str, int, int], None]

_READ_SECONDS = 60.0
_TELL_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One source partition in the verdict."""

    slot: Slot
    next_offset: int
    processed: int
    retried: int
    dead: int
    skipped: int
    unread: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was proved, and what was not."""

    findings: list[str]
    rows: list[Row]
    deep: bool
    counted: int
    waiting: int
    dead: int
    skipped: int
    unread: int
    not_provable: int

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
        if not self.holds:
            return f"does NOT hold: {len(self.findings)} findings in {total} orders"
        limits = f"; not provable for {self.not_provable} that retention removed" if self.not_provable else ""
        how = "proved order by order" if self.deep else "holds"
        return f"{how}: {total} orders = {' + '.join(parts)}; 0 lost, 0 doubled{limits}"


def verify(
    settings: Settings,
    decode: Callable[[bytes], Mapping[str, Any]],
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
    contact(settings)
    patience = Patience(limit=_READ_SECONDS)
    connection = connection_of(settings)
    admin, reader = Admin(connection, patience), Reader(connection, patience)
    try:
        audit = Audit(decode if deep else None, contract or Contract())
        return _Verification(settings, admin, reader, audit, progress).run(deep=deep)
    finally:
        reader.close()


@dataclass(frozen=True, slots=True)
class _Verification:
    settings: Settings
    admin: Admin
    reader: Reader
    audit: Audit
    progress: Progressed

    def run(self, *, deep: bool) -> Verdict:
        state = Snapshot(self.admin, self.reader, self.settings.averages_topic)
        state.refresh()
        # Bounds after the state: every link that the state's transactions wrote lies below them.
        sources = {
            topic: self.admin.bounds(self.admin.slots(topic))
            for topic in (self.settings.topic, self.settings.retry_topic, self.settings.dlq_topic)
        }
        self._links(sources[self.settings.dlq_topic], dead=True)
        self._links(sources[self.settings.retry_topic], dead=False)
        for topic in (self.settings.topic, self.settings.retry_topic):
            self._records(sources[topic], state)
        return self._verdict(sources, deep=deep)

    def _links(self, bounds: dict[Slot, Bounds], *, dead: bool) -> None:
        for message in self._read(bounds):
            self.audit.link(link_of(message), dead=dead)
        if any(one.start > 0 for one in bounds.values()):
            self.audit.links_complete = False

    def _records(self, bounds: dict[Slot, Bounds], state: Snapshot) -> None:
        from_orders = next(iter(bounds)).topic == self.settings.topic
        for slot, found in bounds.items():
            held = state.slots.get(slot)
            nothing = Progress("", found.start)
            self.audit.partition(
                slot, held.progress if held else nothing, held.shards if held else {}, found.start
            )
        for message in self._read(bounds):
            link = (*slot_of(message), offset_of(message), 0) if from_orders else link_of(message)
            self.audit.record(slot_of(message), offset_of(message), link, message.value())

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

    def _verdict(self, sources: dict[str, dict[Slot, Bounds]], *, deep: bool) -> Verdict:
        seen = self.audit.slots
        main = [seen[slot] for slot in sources[self.settings.topic]]
        retry = [seen[slot] for slot in sources[self.settings.retry_topic]]
        rows = [
            Row(slot, one.progress.next_offset, one.processed, one.retried, one.dead, one.skipped, one.ahead)
            for slot, one in sorted(seen.items())
        ]
        return Verdict(
            findings=self.audit.findings(),
            rows=rows,
            deep=deep,
            counted=sum(one.processed for one in main + retry),
            waiting=sum(one.ahead for one in retry),
            dead=sum(one.dead + one.dead_since for one in main + retry),
            skipped=sum(one.skipped for one in main + retry),
            unread=sum(one.ahead for one in main),
            not_provable=sum(bounds.start for one in sources.values() for bounds in one.values()),
        )


def link_of(message: Message) -> Link:
    """Return the place of a retry or dead letter record in its order's chain."""
    held = headers_of(message)
    came = headers.origin(held) or Origin(*slot_of(message), offset_of(message))
    return came.topic, came.partition, came.offset, headers.retry_count(held)
