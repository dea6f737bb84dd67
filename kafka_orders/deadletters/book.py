"""What became of each dead letter, read from `orders_dlq_status`, and the jobs and notes that are kept there."""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.standing import (
    NOTHING_DONE,
    JobRecord,
    LetterId,
    Note,
    Standing,
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

    In memory are the dead letters that something became of, about 120 bytes each (the values of standings that
    are alike are one), and all jobs and notes.
    """

    admin: Admin
    reader: Reader
    topic: str
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    _standings: dict[bytes, Standing] = field(default_factory=dict)
    _read_to: dict[Slot, int] = field(default_factory=dict)
    _alike: dict[bytes, Standing] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read on to the end of the log as it is now, open transactions awaited.

        Raises:
            RefusedError: the topic holds records of a newer version, or strange ones.
            BrokerError: it does not exist, or may not be read.
        """
        bounds = self.admin.bounds(self.admin.slots(self.topic))
        ranges = {
            slot: Bounds(max(one.start, self._read_to.get(slot, 0)), one.end) for slot, one in bounds.items()
        }
        for message in self.reader.read(ranges):
            self._take(message)
        self._read_to = {slot: one.end for slot, one in bounds.items()}

    def _take(self, message: Message) -> None:
        key, value = message.key(), message.value()
        name = key.encode() if isinstance(key, str) else key or b""
        if value is None:
            self._standings.pop(name, None)
        elif name.startswith(b"job/"):
            self.jobs[name[4:].decode()] = load_job(value)
        elif name.startswith(b"group/") and name.count(b"/") == 1:
            self.notes[name[6:].decode()] = load_note(value)
        else:
            self._standings[name] = self._alike.get(value) or self._alike.setdefault(value, load_standing(value))

    def of(self, topic: str, partition: int, offset: int) -> Standing:
        """Return what became of the dead letter at a place."""
        return self._standings.get(b"%s/%d/%d" % (topic.encode(), partition, offset), NOTHING_DONE)

    def standing(self, letter: LetterId) -> Standing:
        """Return what became of a dead letter."""
        return self.of(*letter)
