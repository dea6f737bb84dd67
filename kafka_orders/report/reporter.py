"""Keeping a report: each refresh reads what is new in the topics, and nothing else.

1. ask for the **ends** of all topics, once: last stable offsets, so that no open transaction is waited for;
2. read what is new of the **state**, the **statuses**, the **dead letters** and the **retries**;
3. now and then ask for **members**, and for what has to be asked one by one;
4. **tell**: assemble the frozen report.

One thread owns it. What is shared is the report.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.dialects import ALL
from kafka_orders.deadletters.letters import Letter
from kafka_orders.domain import headers
from kafka_orders.domain.order import Decode
from kafka_orders.domain.records import Slot, parse_key
from kafka_orders.domain.recovery import Bounds, unread
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import NOTHING_DONE, LetterId, Standing
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message, headers_of, offset_of, slot_of
from kafka_orders.log.patience import Patience
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.gate import due_ms
from kafka_orders.pipeline.startup import connection_of, contact
from kafka_orders.report.dead import Dead
from kafka_orders.report.figures import Figures
from kafka_orders.report.model import Report
from kafka_orders.report.parts import Parts
from kafka_orders.report.surroundings import Surroundings
from kafka_orders.views.snapshot import Snapshot

#: The broker answers within so many seconds, or the report is told to be old.
_ANSWER_SECONDS = 5.0
#: One record is wanted, not all that follow.
_SMALL = {"fetch.message.max.bytes": "4096", "queued.max.messages.kbytes": "64"}


class Reporter:
    """The read model of one pipeline; :meth:`refresh` brings it up to date."""

    def __init__(self, settings: Settings, decode: Decode, admin: Admin, reader: Reader, picker: Reader) -> None:
        self._settings, self._decode = settings, decode
        self._admin, self._reader, self._picker = admin, reader, picker
        self._begin()

    def _begin(self) -> None:
        settings, admin, reader = self._settings, self._admin, self._reader
        self.parts = Parts(
            settings, Surroundings(settings, admin), Snapshot(admin, reader, settings.averages_topic),
            Book(admin, reader, settings.dlq_status_topic, heard=self._moved),
            Dead(self._decode, settings.group_by),
        )  # fmt: skip
        self.figures = Figures(self.parts)
        self._read_to: dict[Slot, int] = {}
        self._counted: dict[Slot, int] = {}

    def refresh(self, now_ms: int) -> Report:
        """Return the report of now (epoch ms).

        Raises:
            BrokerError: topics are missing, or may not be read.
            NoBrokerError: the broker does not answer.
            RefusedError: the topics hold records of a newer version.
        """
        self.parts.around.look(time.monotonic())
        bounds = self._admin.bounds(self.parts.around.slots, committed_only=True)
        if any(bounds[slot].end < end for slot, end in self._read_to.items() if slot in bounds):
            self._begin()  # the topics were made anew
            return self.refresh(now_ms)
        self._follow(bounds)
        self._read_to.update({slot: one.end for slot, one in bounds.items()})
        self._ask(bounds)
        return self.figures.report(bounds, now_ms)

    def _follow(self, bounds: dict[Slot, Bounds]) -> None:
        settings, of = self._settings, defaultdict[str, dict[Slot, Bounds]](dict)
        for slot, one in bounds.items():
            of[slot.topic][slot] = one
        self.parts.state.follow(of[settings.averages_topic], self._recorded)
        self.parts.book.refresh(of[settings.dlq_status_topic])
        standings = self.parts.book.of(settings.dlq_topic)
        for message in self._news(of[settings.dlq_topic]):
            held = standings.get(message.partition() or 0, {})
            self.parts.dead.add(Letter(message, held.get(offset_of(message), NOTHING_DONE), ALL))
        for slot, one in of[settings.dlq_topic].items():
            self.parts.dead.removed(slot.partition, one.start)
        self._follow_retries(of[settings.retry_topic])

    def _follow_retries(self, bounds: dict[Slot, Bounds]) -> None:
        handled = {slot: state.progress.next_offset for slot, state in self.parts.state.slots.items()}
        for message in self._news(unread(bounds, handled)):
            attempt = headers.retry_count(headers_of(message))
            self.parts.waiting.add(
                slot_of(message), offset_of(message), due_ms(message, self._settings.policy), attempt
            )
        for slot in bounds:
            self.parts.waiting.handled(slot, handled.get(slot, 0))

    def _news(self, bounds: dict[Slot, Bounds]) -> Iterator[Message]:
        return self._reader.read(unread(bounds, self._read_to))

    def _recorded(self, message: Message) -> None:
        """Take the moment of a record of the state: a transaction wrote it."""
        at_ms, place = message.timestamp()[1], parse_key(message.key())
        self.figures.at(at_ms)
        if place is None or place.product is not None or (held := self.parts.state.slots.get(place.slot)) is None:
            return
        if place.slot.topic == self._settings.topic:
            end = held.progress.next_offset
            self.parts.latencies.committed(place.slot, self._counted.get(place.slot, end - 1), end, at_ms)
            self._counted[place.slot] = end

    def _moved(self, letter: LetterId, standing: Standing) -> None:
        self.parts.ended[standing.status] += 1  # a replay's end is written once
        if letter.topic == self._settings.dlq_topic:
            self.parts.dead.moved(letter, standing)

    def _ask(self, bounds: dict[Slot, Bounds]) -> None:
        """Look at single records: one that was counted, and the first unread ones that nobody saw come."""
        if (picked := self.parts.latencies.pick()) is not None:
            slot, offset, at_ms = picked
            if (written := self._time_of(slot, offset, bounds, offset + 1)) is not None:
                self.parts.latencies.found(at_ms - written)
        for slot, left in self.figures.still(bounds):
            if not any(True for _ in self._picker.read({slot: left})):
                self.figures.empty(slot, left.end)
        for slot, offset in self.figures.unseen(bounds):
            # To the end: marks of transactions may stand before the first record.
            if (written := self._time_of(slot, offset, bounds, bounds[slot].end)) is not None:
                self.figures.know(slot, written, offset)

    def _time_of(self, slot: Slot, offset: int, bounds: dict[Slot, Bounds], end: int) -> int | None:
        """Return when the first record of a range was written."""
        wanted = Bounds(max(offset, bounds[slot].start), min(end, bounds[slot].end))
        return next((one.timestamp()[1] for one in self._picker.read({slot: wanted})), None)


@contextmanager
def reporting(settings: Settings, decode: Decode) -> Iterator[Reporter]:
    """Give a reporter of a pipeline, once a broker has answered.

    Raises:
        NoBrokerError: nobody answers in time, or the login is refused.
        BrokerError: the topics do not exist.
    """
    contact(settings)
    connection, patience = connection_of(settings), Patience(limit=_ANSWER_SECONDS)
    small = replace(connection, properties={**connection.properties, **_SMALL})
    with closing(Reader(connection, patience)) as reader, closing(Reader(small, patience)) as picker:
        yield Reporter(settings, decode, Admin(connection, patience), reader, picker)
