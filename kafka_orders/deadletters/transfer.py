"""Dead letters as files: JSON lines that come back byte for byte, and tables for spreadsheets."""

from __future__ import annotations

import base64
import binascii
import csv
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TextIO

from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.payloads import flat, readable
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection, order_of
from kafka_orders.domain import headers
from kafka_orders.domain.errors import BrokerError, KafkaOrdersError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.order import Decode
from kafka_orders.domain.standing import LetterId
from kafka_orders.log.producer import Copy, PlainProducer, Report
from kafka_orders.pipeline.startup import connection_of

#: A cell that begins so is run as a formula by spreadsheets; a stranger's error message may be one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    "id",
    "timestamp_ms",
    "key",
    "status",
    "error_class",
    "error",
    "stage",
    "group",
    "retries",
    "replays",
    "order",
)


class Imported(NamedTuple):
    """A record that a file holds; ``id`` is the dead letter that it was."""

    id: LetterId
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


def as_json(letter: Letter, decode: Decode) -> dict[str, Any]:
    """Return a letter as one line of JSON has it: its record in base64, and for people what that means."""
    kind, timestamp = letter.record.timestamp()
    return {
        "id": str(letter.id),
        "timestamp_ms": timestamp,
        "timestamp_type": kind,
        "key": _coded(letter.key),
        "value": _coded(letter.payload),
        "headers": [[name, _coded(value)] for name, value in letter.headers],
        "readable": _readable(letter, decode),
    }


def _readable(letter: Letter, decode: Decode) -> dict[str, Any]:
    told = letter.told
    return {
        "key": (letter.key or b"").decode(errors="backslashreplace"),
        "status": letter.standing.status,
        "error_class": told.fqcn,
        "error": told.message,
        "stage": told.stage,
        "group": told.fingerprint,
        "retries": told.retries,
        "replays": told.replay_count,
        "order": {name: str(value) for name, value in flat(readable(order_of(letter, decode)))},
    }


def write_jsonl(letters: Iterable[Letter], decode: Decode, out: TextIO) -> None:
    """Write letters so that :func:`read_jsonl` gives them back."""
    out.writelines(json.dumps(as_json(letter, decode)) + "\n" for letter in letters)


def write_csv(letters: Iterable[Letter], decode: Decode, out: TextIO) -> None:
    """Write a table for people; what a spreadsheet would run as a formula gets a quote before it."""
    table = csv.writer(out)
    table.writerow(COLUMNS)
    for letter in letters:
        told = _readable(letter, decode) | {"id": str(letter.id), "timestamp_ms": letter.timestamp_ms}
        told["order"] = json.dumps(told["order"]) if told["order"] else ""
        table.writerow(guarded(str(told[name])) for name in COLUMNS)


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return "'" + cell if cell.startswith(_FORMULA) else cell


def read_jsonl(lines: Iterable[str]) -> Iterator[Imported]:
    """Yield the records of a file that :func:`write_jsonl` wrote.

    Raises:
        KafkaOrdersError: a line is none; it names the line.
    """
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            held = [(str(name), _decoded(value)) for name, value in told["headers"]]
            place = LetterId.parse(told["id"])
            yield Imported(place, _decoded(told["key"]), _decoded(told["value"]), held, int(told["timestamp_ms"]))
        except (ValueError, KeyError, TypeError, KafkaOrdersError, RecursionError) as error:
            raise KafkaOrdersError(
                f"line {number} is no exported dead letter ({type(error).__name__}: {error}); nothing of it, and"
                " nothing behind it, was written"
            ) from error


def _coded(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _decoded(text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def already_there(queue: Queue) -> set[str]:
    """Return the dead letters that a topic has: its own, and those imported before."""
    known = set()
    for letter in queue.letters(Selection()):
        place = letter.held.get(headers.IMPORTED_FROM)
        known.add(place.decode(errors="replace") if place else str(letter.id))
    return known


def import_records(
    queue: Queue, records: Iterable[Imported], known: set[str], done: Callable[[int], None]
) -> tuple[int, int]:
    """Write records to the queue's topic, but those that are ``known``; return how many were, and were not.

    Key, value, headers and timestamp are as they were, with one header more: where it came from.

    Raises:
        BrokerError: some were not acknowledged; the same import again writes those that are missing.
    """
    producer, failed, sent, passed = PlainProducer(connection_of(queue.settings)), list[Report](), 0, 0
    partitions = len(queue.ends())

    def told(report: Report) -> None:
        if report.error is not None:
            failed.append(report)

    try:
        for one in records:
            if str(one.id) in known:
                passed += 1
                continue
            held = [*one.headers, (headers.IMPORTED_FROM, str(one.id).encode())]
            where = one.id.partition if one.id.partition < partitions else -1
            producer.put(queue.topic, Copy(one.key, one.value, held, where, one.timestamp_ms), told)
            sent += 1
            done(1)
    finally:
        producer.finish(lambda _waiting: None)  # what came before a bad line is in the topic, and known next time
    if failed:
        raise BrokerError(f"{len(failed)} of {sent} were not acknowledged ({failed[0].error}); import again")
    return sent, passed
