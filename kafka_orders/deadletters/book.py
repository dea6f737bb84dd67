"""What became of each dead letter, read from `orders_dlq_status`, and the jobs and notes that are kept there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds, unread
from kafka_orders.domain.standing import (
    NOTHING_DONE,
    JobRecord,
    LetterId,
    Note,
    Standing,
    load_breaker,
    load_job,
    load_note,
    load_standing,
)
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message
from kafka_orders.log.reader import Reader


@dataclass(slots=True)
class Book:
    """The newest standing of every dead letter; :meth:`refresh` reads only what is new.

    In memory are the dead letters that something became of (standings that are alike are one), jobs and notes.
    """

    admin: Admin
    reader: Reader
    topic: str
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    #: Why each worker's outage breaker is open; empty: it is closed.
    breakers: dict[str, str] = field(default_factory=dict)
    #: Told of every standing that is read.
    heard: Callable[[LetterId, Standing], None] = lambda _letter, _standing: None
    #: By topic and partition, then offset.
    _standings: dict[Slot, dict[int, Standing]] = field(default_factory=dict)
    _read_to: dict[Slot, int] = field(default_factory=dict)
    _alike: dict[bytes, Standing] = field(default_factory=dict)

    def refresh(self, bounds: Mapping[Slot, Bounds] | None = None) -> None:
        """Read on to the end of the log as it is now, open transactions awaited; or to ``bounds``.

        Raises:
            RefusedError: the topic holds records of a newer version, or strange ones.
            BrokerError: it does not exist, or may not be read.
        """
        bounds = self.admin.bounds(self.admin.slots(self.topic)) if bounds is None else bounds
        if any(one.end < self._read_to.get(slot, 0) for slot, one in bounds.items()):
            self._begin()  # the topic was made anew
        for message in self.reader.read(unread(bounds, self._read_to)):
            self._take(message)
        self._read_to.update({slot: one.end for slot, one in bounds.items()})

    def _begin(self) -> None:
        for held in (self._standings, self._read_to, self._alike, self.jobs, self.notes, self.breakers):
            held.clear()

    def _take(self, message: Message) -> None:
        key, value = message.key(), message.value()
        name = key.encode() if isinstance(key, str) else key or b""
        kind, _, rest = name.partition(b"/")
        if value is None:
            return  # nothing of ours is ever deleted
        if (place := LetterId.found(name.decode(errors="replace"))) is not None:
            topic, partition, offset = place
            standing = self._alike.get(value) or load_standing(value)
            if not standing.target:  # else it is one of its kind
                self._alike[value] = standing
            self._standings.setdefault(Slot(topic, partition), {})[offset] = standing
            self.heard(LetterId(topic, partition, offset), standing)
        elif kind == b"job":
            self.jobs[rest.decode()] = load_job(value)
        elif kind == b"group":
            self.notes[rest.decode()] = load_note(value)
        elif kind == b"breaker":
            self.breakers[rest.decode()] = load_breaker(value)

    def of(self, topic: str) -> dict[int, dict[int, Standing]]:
        """Return what became of the dead letters of a topic that something became of, by partition and offset."""
        return {slot.partition: found for slot, found in self._standings.items() if slot.topic == topic}

    def all(self, topic: str) -> dict[str, Standing]:
        """Return what became of the dead letters of a topic, by name."""
        return {
            f"{topic}/{partition}/{offset}": standing
            for partition, found in self.of(topic).items()
            for offset, standing in found.items()
        }

    def standing(self, letter: LetterId) -> Standing:
        """Return what became of a dead letter."""
        return self._standings.get(Slot(*letter[:2]), {}).get(letter.offset, NOTHING_DONE)
