"""The failure headers, declared once: built, replaced and read with bounds (design, section 2).

Headers are input from strangers: nothing here raises on what they hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from kafka_orders.domain.fingerprint import Failure

Headers = list[tuple[str, bytes | None]]
NO_HEADERS: Headers = []
#: A record's place in its order's chain: (topic, partition, offset) of the order, the record's retryCount, and
#: which replay of a dead letter it belongs to (0: none, it came from the order itself).
Link = tuple[str, int, int, int, int]

# What follows `#:` stands in docs/reference/headers.md too.
#: Which retry this record waits for, 1 to MAX_RETRIES; on a dead letter: the retries made, 0 if none.
RETRY_COUNT = "retryCount"
#: The error's message, at most 1 KiB.
ERROR = "error"
#: Where the order first came from: its topic; kept through every hop.
ORIGINAL_TOPIC = "x-original-topic"
#: The partition it first came from.
ORIGINAL_PARTITION = "x-original-partition"
#: The offset it first had; with topic and partition the order's idempotency key.
ORIGINAL_OFFSET = "x-original-offset"
#: Its first timestamp, epoch milliseconds.
ORIGINAL_TIMESTAMP = "x-original-timestamp"
#: The error's class, as in `builtins.RuntimeError`.
EXCEPTION_FQCN = "x-exception-fqcn"
#: The end of the stack trace, at most 4 KiB; on dead letters only.
EXCEPTION_STACKTRACE = "x-exception-stacktrace"
#: Where it failed: `decode`, `validate` or `process`.
FAILURE_STAGE = "x-failure-stage"
#: A hash of 16 hex digits, equal for failures of the same class, code location and masked message.
FAILURE_FINGERPRINT = "x-failure-fingerprint"
#: When the order failed first, epoch milliseconds by the worker's clock, for people.
FIRST_FAILED_AT = "x-first-failed-at"
#: When it failed last, likewise.
FAILED_AT = "x-failed-at"
#: About when the retry is due, likewise; the gate itself goes by the broker's clock; on retries only.
RETRY_DUE = "x-retry-due"
#: The wait in milliseconds that the handler asked for with `RetryAfter`; on such retries only.
RETRY_AFTER = "x-retry-after"
#: The group of the worker that sent the record here.
CONSUMER_GROUP = "x-consumer-group"
#: Which replay sent a dead letter back; kept as it came.
REPLAY_ID = "x-replay-id"
#: How often it was sent back; kept as it came.
REPLAY_COUNT = "x-replay-count"
#: The dead letter that was sent back, as topic/partition/offset; kept, so that its status can follow it.
REPLAY_OF = "x-replay-of"
#: The dead letter that an imported record was exported from, as topic/partition/offset.
IMPORTED_FROM = "x-imported-from"
#: The trace context (W3C) of whoever sent the order; forwarded, once.
TRACEPARENT = "traceparent"
#: The format of the order, as in `application/json`; without it the order is in the pipeline's own.
CONTENT_TYPE = "content-type"
#: A schema registry's id of the order's schema (a zero or one byte, then the id), in place of one in the value.
SCHEMA_ID = "__value_schema_id"
#: What tracing vendors keep beside it; forwarded, once.
TRACESTATE = "tracestate"

REPLAY_HEADERS = frozenset({REPLAY_ID, REPLAY_COUNT, REPLAY_OF})
#: Longest `error` header in bytes.
ERROR_BYTES = 1024
#: Longest `x-exception-stacktrace` header in bytes.
STACK_BYTES = 4096
#: Digits of the largest retry count we believe a stranger.
_COUNT_DIGITS = 3
_OFFSET_DIGITS = 19
#: W3C: version 00 ends after its flags, a later one may go on.
_TRACE = re.compile(
    r"(?:00(?=.{53}\Z)|(?!00|ff)[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_TRACE_BYTES = 512


def next_hop(link: Link) -> Link:
    """Return the link of the retry that follows, if the record fails once more."""
    return *link[:3], link[3] + 1, link[4]


class Origin(NamedTuple):
    """Where an order first came from: its idempotency key for the world outside Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int = -1

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Journey(NamedTuple):
    """What the headers of a failed record tell beside the failure itself."""

    origin: Origin
    retry_count: int
    first_failed_at_ms: int
    failed_at_ms: int
    group: str
    due_ms: int | None = None
    after_ms: int | None = None


class Replayed(NamedTuple):
    """What a replayed record tells: its dead letter (topic/partition/offset), the job, and the replay's number."""

    letter: str
    job: str
    number: int


def text(headers: Iterable[tuple[str, bytes | str | None]] | None, name: str) -> str | None:
    """Return the one UTF-8 value of a header; None when missing, repeated, null or not UTF-8."""
    values = [value for key, value in headers or () if key == name]
    if len(values) != 1:
        return None
    value = values[0]
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None


def number(headers: Iterable[tuple[str, bytes | str | None]] | None, name: str, digits: int) -> int | None:
    """Return a header that holds at most ``digits`` ASCII digits as a number, else None."""
    value = text(headers, name)
    if value and len(value) <= digits and value.isascii() and value.isdigit():
        return int(value)
    return None


def retry_count(headers: Iterable[tuple[str, bytes | str | None]] | None) -> int:
    """Return `retryCount`; 0 where it is missing, repeated, not UTF-8 or absurd."""
    return number(headers, RETRY_COUNT, _COUNT_DIGITS) or 0


def retry_after(headers: Iterable[tuple[str, bytes | str | None]] | None) -> int | None:
    """Return the wait that a handler asked for, in milliseconds; whoever uses it bounds it to an hour."""
    return number(headers, RETRY_AFTER, 7)


def first_failed_at(headers: Iterable[tuple[str, bytes | str | None]] | None) -> int | None:
    """Return when the record failed first, in epoch milliseconds."""
    return number(headers, FIRST_FAILED_AT, 15)


def replay_count(headers: Iterable[tuple[str, bytes | str | None]] | None) -> int:
    """Return how often a record's order was replayed; 0 where that is missing or absurd."""
    return number(headers, REPLAY_COUNT, _COUNT_DIGITS) or 0


def replay_of(headers: Headers) -> Replayed | None:
    """Return which dead letter a record is the replay of, or None for any other record."""
    if not any(name == REPLAY_OF for name, _ in headers):
        return None
    letter = text(headers, REPLAY_OF)
    return Replayed(letter, text(headers, REPLAY_ID) or "", replay_count(headers)) if letter else None


def origin(headers: Iterable[tuple[str, bytes | str | None]] | None) -> Origin | None:
    """Return the origin that the headers tell, or None unless topic, partition and offset are sound."""
    held = list(headers or ())
    topic = text(held, ORIGINAL_TOPIC)
    partition = number(held, ORIGINAL_PARTITION, 9)
    offset = number(held, ORIGINAL_OFFSET, _OFFSET_DIGITS)
    if not topic or partition is None or offset is None:
        return None
    timestamp = number(held, ORIGINAL_TIMESTAMP, 15)
    return Origin(topic, partition, offset, -1 if timestamp is None else timestamp)


def build(incoming: Headers | None, journey: Journey, failure: Failure, *, with_stack: bool) -> Headers:
    """Return the headers of a record on its way to retry or the dead letter queue.

    A stranger's headers stay as they came (see :func:`traced_once`); ours are replaced, never appended. The
    stack trace travels on dead letters only.
    """
    told = [
        *_alike(failure, journey.retry_count, *journey.origin[:2], journey.group),
        (ORIGINAL_OFFSET, b"%d" % journey.origin.offset),
        (ORIGINAL_TIMESTAMP, b"%d" % journey.origin.timestamp_ms),
        (FIRST_FAILED_AT, b"%d" % journey.first_failed_at_ms),
        (FAILED_AT, b"%d" % journey.failed_at_ms),
    ]
    if with_stack:
        told.append((EXCEPTION_STACKTRACE, clip_start(failure.stack, STACK_BYTES).encode()))
    if journey.due_ms is not None:
        told.append((RETRY_DUE, b"%d" % journey.due_ms))
    if journey.after_ms is not None:
        told.append((RETRY_AFTER, b"%d" % journey.after_ms))
    if not incoming:
        return told
    return _foreign(incoming) + [one for one in incoming if one[0] in REPLAY_HEADERS] + told


@lru_cache(maxsize=1024)
def _alike(failure: Failure, retry_count: int, topic: str, partition: int, group: str) -> Headers:
    """Return the headers that are the same for one failure of a million records, as in an outage."""
    return [
        (RETRY_COUNT, b"%d" % retry_count),
        (ERROR, clip(failure.message, ERROR_BYTES).encode()),
        (ORIGINAL_TOPIC, topic.encode()),
        (ORIGINAL_PARTITION, b"%d" % partition),
        (EXCEPTION_FQCN, clip(failure.fqcn, ERROR_BYTES).encode()),
        (FAILURE_STAGE, failure.stage.encode()),
        (FAILURE_FINGERPRINT, failure.fingerprint.encode()),
        (CONSUMER_GROUP, group.encode()),
    ]


#: What :func:`build` writes, and what a replay does.
OURS = REPLAY_HEADERS | {
    RETRY_COUNT, ERROR, ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET, ORIGINAL_TIMESTAMP, EXCEPTION_FQCN,
    EXCEPTION_STACKTRACE, FAILURE_STAGE, FAILURE_FINGERPRINT, FIRST_FAILED_AT, FAILED_AT, RETRY_DUE, RETRY_AFTER,
    CONSUMER_GROUP,
}  # fmt: skip


def without_detail(headers: Headers, *names: str) -> Headers:
    """Return the headers without those named: how a record that is too large is made to fit."""
    return [(name, value) for name, value in headers if name not in names]


def clip(message: str, limit: int) -> str:
    """Return ``message`` cut to ``limit`` UTF-8 bytes, never inside a character."""
    return message.encode(errors="replace")[:limit].decode(errors="ignore")


def clip_start(stack: str, limit: int) -> str:
    """Return the last ``limit`` UTF-8 bytes of a stack trace: its end names the error."""
    return stack.encode(errors="replace")[-limit:].decode(errors="ignore")


def trace_of(headers: Headers) -> dict[str, str]:
    """Return the trace context that a record came with, by name; empty where none is sound."""
    held = traced_once(headers)
    parent, state = text(held, TRACEPARENT), text(held, TRACESTATE)
    if parent is None or not _is_trace(parent):
        return {}
    return (
        {TRACEPARENT: parent, TRACESTATE: state} if state and len(state) <= _TRACE_BYTES else {TRACEPARENT: parent}
    )


def traced_once(headers: Headers) -> Headers:
    """Return the headers with one `traceparent`, the first sound one if any is, and the first `tracestate`."""
    for name in (TRACEPARENT, TRACESTATE):
        places = [place for place, one in enumerate(headers) if one[0] == name]
        if len(places) > 1:
            sound = (one for one in places if name == TRACESTATE or _is_trace(text([headers[one]], name)))
            kept = next(sound, places[0])
            headers = [one for place, one in enumerate(headers) if one[0] != name or place == kept]
    return headers


def _is_trace(value: str | None) -> bool:
    return value is not None and len(value) <= _TRACE_BYTES and _TRACE.fullmatch(value) is not None


def _foreign(incoming: Headers) -> Headers:
    return traced_once([one for one in incoming if one[0] not in OURS])
