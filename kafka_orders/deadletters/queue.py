"""The dead letter queue, opened for looking: one bounded scan is what all tools are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.dialects import ALL
from kafka_orders.deadletters.letters import Dialect, Letter
from kafka_orders.deadletters.payloads import tolerant
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.errors import KafkaOrdersError, SettingsError
from kafka_orders.domain.order import Decode
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import NOTHING_DONE
from kafka_orders.log.admin import Admin
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.startup import readers

#: Told of what is read, with the records expected and, then, how many more are done.
Progressed = Callable[[str, int, int], None]

_ANSWER_SECONDS = 30.0
_TELL_EVERY = 1000


@dataclass(slots=True)
class Scan:
    """How far a scan came. ``complete``: every dead letter that was there at its beginning was looked at."""

    ends: dict[Slot, int] = field(default_factory=dict)
    looked_at: int = 0
    found: int = 0
    complete: bool = False


@dataclass(slots=True)
class Queue:
    """One dead letter topic of a pipeline, ours or another system's, and what became of its letters."""

    settings: Settings
    topic: str
    decode: Decode
    admin: Admin
    reader: Reader
    book: Book
    dialects: tuple[Dialect, ...] = ALL
    progress: Progressed = lambda _what, _total, _more: None
    scan: Scan = field(default_factory=Scan)
    #: The pipeline's own format alone, where ``decode`` takes others, too.
    own: Decode | None = None

    def ends(self) -> dict[Slot, Bounds]:
        """Return the bounds of the topic as they are now."""
        return self.admin.bounds(self.admin.slots(self.topic))

    def letters(self, wanted: Selection, bounds: dict[Slot, Bounds] | None = None) -> Iterator[Letter]:
        """Yield the dead letters that ``wanted`` selects, of those that are there now or within ``bounds``.

        Each partition in its order, partitions mixed. What became of them is refreshed first. :attr:`scan` tells
        afterwards whether all were looked at.

        Raises:
            BrokerError: the topic does not exist, or may not be read.
            SettingsError: an id is another topic's.
        """
        self.book.refresh()
        bounds = self._narrowed(wanted, bounds or self.ends())
        scan = self.scan = Scan({slot: one.end for slot, one in bounds.items()})
        tests, dialects, nothing = wanted.tests(self.decode, self.settings.group_by), self.dialects, NOTHING_DONE
        standings = self.book.of(self.topic)
        self.progress(self.topic, sum(max(0, one.end - one.start) for one in bounds.values()), 0)
        for number, record in enumerate(self.reader.read(bounds), 1):
            if number % _TELL_EVERY == 0:
                self.progress(self.topic, 0, _TELL_EVERY)
            scan.looked_at = number
            held = standings.get(record.partition() or 0)
            letter = Letter(record, held.get(record.offset() or 0, nothing) if held else nothing, dialects)
            for test in tests:
                if not test(letter):
                    break
            else:
                scan.found += 1
                yield letter
                if scan.found == wanted.limit:
                    return
        scan.complete = True

    def require(self, wanted: Selection) -> None:
        """Check that each dead letter that is named by its id is there.

        Raises:
            KafkaOrdersError: one is not.
        """
        found = {letter.id for letter in self.letters(Selection(ids=wanted.ids))} if wanted.ids else set()
        if missing := [str(one) for one in wanted.ids if one not in found]:
            raise KafkaOrdersError(
                f"there is no dead letter {', '.join(missing[:5])}: never written, or removed by retention;"
                " nothing was changed"
            )

    def _narrowed(self, wanted: Selection, bounds: dict[Slot, Bounds]) -> dict[Slot, Bounds]:
        """Return the part of the topic that ids name: a million need not be read to show one."""
        if not wanted.ids:
            return bounds
        places: dict[Slot, list[int]] = {}
        for topic, partition, offset in wanted.ids:
            if topic != self.topic:
                raise SettingsError(
                    f"{topic}/{partition}/{offset} is not in {self.topic}; name its topic with --topic"
                )
            places.setdefault(Slot(topic, partition), []).append(offset)
        return {
            slot: Bounds(max(bounds[slot].start, min(found)), min(bounds[slot].end, max(found) + 1))
            for slot, found in places.items()
            if slot in bounds
        }


@contextmanager
def open_queue(
    settings: Settings, decode: Decode, *, topic: str = "",
    progress: Progressed = lambda _what, _total, _more: None,
) -> Iterator[Queue]:  # fmt: skip
    """Open a dead letter topic, by default the pipeline's own, once a broker has answered.

    Payloads of another system's may be framed by a registry, or JSON.

    Raises:
        NoBrokerError: nobody answers in time, or the login is refused.
    """
    with readers(settings, _ANSWER_SECONDS) as (admin, reader):
        book = Book(admin, reader, settings.dlq_status_topic)
        where = topic or settings.dlq_topic
        reads = decode if where == settings.dlq_topic else tolerant(decode)
        yield Queue(settings, where, reads, admin, reader, book, progress=progress, own=decode)
