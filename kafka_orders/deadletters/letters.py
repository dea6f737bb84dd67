"""A dead letter as the tools see it: its record, what its headers tell, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from kafka_orders.domain import headers
from kafka_orders.domain.headers import Headers, Origin
from kafka_orders.domain.standing import LetterId, Standing
from kafka_orders.log.message import Message, headers_of, offset_of

#: Who can tell a failure from headers; None where they are not of his kind.
Dialect = Callable[[Mapping[str, bytes | None]], "Told | None"]


class Told(NamedTuple):
    """What the headers of a dead letter tell of its failure, whoever wrote them.

    Times are epoch milliseconds, -1 where unknown; ``retries`` were made before it died. ``target`` is the topic
    that a replay goes to by default; empty: the pipeline's own retry topic.
    """

    dialect: str
    origin: Origin | None
    fingerprint: str
    fqcn: str = ""
    message: str = ""
    stage: str = ""
    stack: str = ""
    retries: int = 0
    first_failed_at_ms: int = -1
    failed_at_ms: int = -1
    group: str = ""
    replay_count: int = 0
    replay_of: str = ""
    replay_id: str = ""
    target: str = ""


class Letter:
    """One dead letter. What is read from it is read when asked for: a scan meets a million of them."""

    __slots__ = ("_dialects", "_held", "_told", "record", "standing")

    def __init__(self, record: Message, standing: Standing, dialects: tuple[Dialect, ...]) -> None:
        self.record, self.standing, self._dialects = record, standing, dialects
        self._held: dict[str, bytes | None] | None = None
        self._told: Told | None = None

    @property
    def id(self) -> LetterId:
        """Its place, which is its name."""
        return LetterId(self.record.topic() or "", self.record.partition() or 0, offset_of(self.record))

    @property
    def headers(self) -> Headers:
        """All its headers, as they came."""
        return headers_of(self.record)

    @property
    def key(self) -> bytes | None:
        """The order's key."""
        key = self.record.key()
        return key.encode() if isinstance(key, str) else key

    @property
    def payload(self) -> bytes | None:
        """The order's bytes, untouched since it was sent."""
        return self.record.value()

    @property
    def timestamp_ms(self) -> int:
        """When it was written to the dead letter topic, in epoch milliseconds."""
        return self.record.timestamp()[1]

    @property
    def held(self) -> dict[str, bytes | None]:
        """Its headers by name; a repeated one says nothing: which of them would it be?"""
        held = self._held
        if held is None:
            found: Any = self.record.headers() or ()
            held = self._held = dict(found)
            if len(held) < len(found):
                names = [name for name, _ in found]
                held = self._held = {name: value for name, value in found if names.count(name) == 1}
        return held

    @property
    def told(self) -> Told:
        """What its headers tell, in the words of this project."""
        if self._told is None:
            last = dict(self.headers)  # others append, and their last is the newest
            found = (dialect(self.held if dialect is ours else last) for dialect in self._dialects)
            self._told = next(filter(None, found), UNTOLD)
        return self._told

    # These four are asked of every letter by a scan: read from our own headers without all the rest.

    @property
    def fingerprint(self) -> str:
        """What it is grouped by."""
        return _cached_text(self.held.get(headers.FAILURE_FINGERPRINT)) or self.told.fingerprint

    @property
    def error_class(self) -> str:
        """The error's class, with its module."""
        return self._ours(headers.EXCEPTION_FQCN) or self.told.fqcn

    @property
    def error(self) -> str:
        """The error's message."""
        return self._ours(headers.ERROR) or self.told.message

    def _ours(self, name: str) -> str:
        held = self.held
        return _cached_text(held.get(name)) if headers.FAILURE_FINGERPRINT in held else ""

    @property
    def failed_at_ms(self) -> int:
        """When it failed last; where no header tells, when it was written to its topic (epoch ms)."""
        told = self.held.get(headers.FAILED_AT)
        return int(told) if told and len(told) < 16 and told.isdigit() else self.timestamp_ms

    def standing_now(self, standing: Standing) -> Letter:
        """Return the letter with what became of it by now."""
        return Letter(self.record, standing, self._dialects)


#: Of a record whose headers are nobody's.
UNTOLD = Told("unknown", None, "")


def ours(held: Mapping[str, bytes | None]) -> Told | None:
    """Read the headers that this project writes (docs/reference/headers.md)."""
    fingerprint = held.get(headers.FAILURE_FINGERPRINT)
    if fingerprint is None:
        return None
    text, number = _text, _number
    topic, partition = text(held, headers.ORIGINAL_TOPIC), number(held, headers.ORIGINAL_PARTITION)
    offset = number(held, headers.ORIGINAL_OFFSET)
    is_placed = topic and partition >= 0 and offset >= 0
    return Told(
        "kafka-orders",
        Origin(topic, partition, offset, number(held, headers.ORIGINAL_TIMESTAMP)) if is_placed else None,
        fingerprint.decode(errors="replace"),
        text(held, headers.EXCEPTION_FQCN),
        text(held, headers.ERROR),
        text(held, headers.FAILURE_STAGE),
        text(held, headers.EXCEPTION_STACKTRACE),
        max(0, number(held, headers.RETRY_COUNT)),
        number(held, headers.FIRST_FAILED_AT),
        number(held, headers.FAILED_AT),
        text(held, headers.CONSUMER_GROUP),
        max(0, number(held, headers.REPLAY_COUNT)),
        text(held, headers.REPLAY_OF),
        text(held, headers.REPLAY_ID),
    )


@lru_cache(maxsize=4096)  # a million failures have few causes
def _cached_text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _text(held: Mapping[str, bytes | None], name: str) -> str:
    return (held.get(name) or b"").decode(errors="replace")


def _number(held: Mapping[str, bytes | None], name: str) -> int:
    """Return a header's number; -1 where it is missing or absurd."""
    value = held.get(name) or b""
    return int(value) if len(value) <= 19 and value.isdigit() else -1
