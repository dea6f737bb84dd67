"""What became of a dead letter: the records of `orders_dlq_status`, keyed by its place (topic/partition/offset).

A dead letter without a record is open. The tools write `replaying`, `discarded` and, to restore, `open` again;
that a replay has come to its end is written by the retry role, in the transaction that handles the replay.
The same topic keeps each job of the tools (key `job/ID`), the operators' notes (`group/FINGERPRINT`), and whether
a worker's outage breaker is open (`breaker/TRANSACTIONAL.ID`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.headers import Replayed
from kafka_orders.domain.records import VERSION, load_fields, whole

# What follows `#:` stands in docs too.
#: Nothing was done about it yet, or it was restored.
OPEN = "open"
#: It was sent back, and its replay has not come to an end yet.
REPLAYING = "replaying"
#: Its replay was processed.
RESOLVED = "resolved"
#: Its replay died again; that dead letter stands for itself.
FAILED_AGAIN = "failed_again"
#: An operator gave it up, with a reason.
DISCARDED = "discarded"
STATUSES = (OPEN, REPLAYING, RESOLVED, FAILED_AGAIN, DISCARDED)

_PLACE = re.compile(r"([\w.-]{1,249})/(0|[1-9]\d{0,8})/(0|[1-9]\d{0,18})", re.ASCII)


class LetterId(NamedTuple):
    """A dead letter's place, which is its name."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def found(cls, text: str) -> LetterId | None:
        """Return the id that ``text`` names; None where it names none."""
        held = _PLACE.fullmatch(text)
        return cls(held[1], int(held[2]), int(held[3])) if held else None

    @classmethod
    def parse(cls, text: str) -> LetterId:
        """Return the id that ``text`` names.

        Raises:
            SettingsError: it is not TOPIC/PARTITION/OFFSET.
        """
        found = cls.found(text)
        if found is None:
            raise SettingsError(
                f"{text!r} is no dead letter: it is named TOPIC/PARTITION/OFFSET, as in orders_dlq/3/17"
            )
        return found


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of one dead letter.

    ``job`` is the tool's job that did it, ``count`` the number of its replay, ``target`` where the replay went
    (topic/partition/offset), ``edited`` that its payload was changed on the way, ``by`` who wrote this: a
    person, or the consumer group that ended the replay.
    """

    status: str = OPEN
    job: str = ""
    count: int = 0
    target: str = ""
    edited: bool = False
    by: str = ""


NOTHING_DONE = Standing()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A run of a tool over some dead letters: who, why, over what, and how far it came.

    ``selection`` and ``options`` are as they were asked for; ``ends`` bounds it: offsets of the dead letter
    topic when it began, so that it never meets what died because of it. ``history`` has the latest events, each
    [epoch ms, state, done so far].
    """

    id: str
    action: str
    author: str = ""
    reason: str = ""
    state: str = "running"
    done: int = 0
    passed_over: int = 0
    #: Letters it was to send when it began; 0: unknown.
    total: int = 0
    #: Who asks twice with the same key means the same job; a digest of what was asked is part of it.
    request: str = ""
    selection: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)
    history: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Note:
    """What operators wrote about a group of dead letters."""

    text: str
    author: str = ""


@dataclass(frozen=True, slots=True)
class BreakerRecord:
    """A worker's outage breaker, under its transactional.id; ``why`` it is open, empty: it is closed."""

    why: str = ""


def letter_key(letter: LetterId | str) -> bytes:
    """Return the key of a dead letter's standing."""
    return str(letter).encode()


def job_key(job: str) -> bytes:
    """Return the key of a job."""
    return f"job/{job}".encode()


def note_key(fingerprint: str) -> bytes:
    """Return the key of a group's note."""
    return f"group/{fingerprint}".encode()


def breaker_key(worker: str) -> bytes:
    """Return the key of a worker's outage breaker."""
    return f"breaker/{worker}".encode()


def dump(record: Standing | JobRecord | Note | BreakerRecord) -> bytes:
    """Return the JSON of a record."""
    return json.dumps({"v": VERSION, **asdict(record)}, separators=(",", ":")).encode()


def ended(replay: Replayed, status: str, group: str) -> tuple[bytes, bytes]:
    """Return key and value of what the pipeline says at the end of a replay."""
    return letter_key(replay.letter), dump(Standing(status, replay.job, replay.number, by=group))


def load_standing(value: bytes) -> Standing:
    """Return the standing of a record.

    Raises:
        RefusedError: the record is from a newer version, or is none of ours.
    """
    told = load_fields(value)
    status = told.get("status")
    return Standing(
        status if status in STATUSES else OPEN,
        str(told.get("job", "")), whole(told.get("count", 0)), str(told.get("target", "")),
        bool(told.get("edited")), str(told.get("by", "")),
    )  # fmt: skip


def load_job(value: bytes) -> JobRecord:
    """Return a job.

    Raises:
        RefusedError: the record is from a newer version, or is none of ours.
    """
    told = load_fields(value)
    known = {name: told[name] for name in JobRecord.__dataclass_fields__ if name in told}
    return JobRecord(**{"id": "", "action": "", **known})


def load_note(value: bytes) -> Note:
    """Return a note.

    Raises:
        RefusedError: the record is from a newer version, or is none of ours.
    """
    told = load_fields(value)
    return Note(str(told.get("text", "")), str(told.get("author", "")))


def load_breaker(value: bytes) -> str:
    """Return why a worker's outage breaker is open; empty: it is closed.

    Raises:
        RefusedError: the record is from a newer version, or is none of ours.
    """
    return str(load_fields(value).get("why", ""))
