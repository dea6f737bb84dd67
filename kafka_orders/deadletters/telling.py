"""Dead letters as JSON has them: the same rows for the commands and the REST API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from kafka_orders.deadletters.groups import MOST_DISTINCT, Group
from kafka_orders.deadletters.journey import Journey
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.payloads import readable
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import order_of
from kafka_orders.deadletters.watch import printable
from kafka_orders.domain.order import field_text
from kafka_orders.domain.standing import OPEN


def letter_row(letter: Letter, queue: Queue) -> dict[str, Any]:
    """Return what a list tells of a dead letter."""
    told = letter.told
    product = field_text(order_of(letter, queue.decode), queue.settings.group_by)
    return {
        "id": str(letter.id),
        "failed_at": iso(letter.failed_at_ms),
        "key": printable(letter.key),
        "product": None if product is None else printable(product),
        "error_class": printable(told.fqcn),
        "error": printable(told.message[:200]),
        "retries": told.retries,
        "replays": told.replay_count,
        "status": letter.standing.status,
        "group": printable(letter.fingerprint),
    }


def journey_told(found: Journey) -> dict[str, Any]:
    """Return all there is to know about a dead letter."""
    letter, payload = found.letter, found.payload
    told, standing = letter.told, letter.standing
    return {
        "id": str(letter.id),
        "status": standing.status,
        "standing": asdict(standing),
        "job": None if found.job is None else asdict(found.job),
        "key": printable(letter.key),
        "payload": {name: readable(value) for name, value in asdict(payload).items() if value not in (None, "")},
        "written_by": told.dialect,
        "origin": None if told.origin is None else str(told.origin),
        "error_class": told.fqcn,
        "error": told.message,
        "stage": told.stage,
        "group": letter.fingerprint,
        "retries": told.retries,
        "replays": told.replay_count,
        "replay_of": told.replay_of or None,
        "first_failed_at": iso(told.first_failed_at_ms),
        "failed_at": iso(letter.failed_at_ms),
        "journey": [asdict(one) | {"at_ms": iso(one.at_ms)} for one in found.stops],
        "newer_orders_of_key": found.newer,
        "headers": [[name, None if value is None else printable(value)] for name, value in letter.headers],
        "stack": told.stack,
    }


def group_row(group: Group, queue: Queue) -> dict[str, Any]:
    """Return what a list tells of a group."""
    note = queue.book.notes.get(group.fingerprint)
    return {
        "group": printable(group.fingerprint),
        "letters": group.count,
        "open": group.statuses.get(OPEN, 0),
        "first": iso(group.first_ms),
        "last": iso(group.last_ms),
        "trend": group.trend,
        "keys": _many(group.keys),
        "products": _many(group.products),
        "looks_like": group.looks_like,
        "error": printable(f"{group.fqcn}: {group.message[:120]}"),
        "stage": group.stage,
        "sample": str(group.sample),
        "note": None if note is None else printable(note.text),
    }


def iso(epoch_ms: int) -> str | None:
    """Return a time as people and programs read it, in UTC; None where it is unknown."""
    if epoch_ms < 0 or epoch_ms > 253_402_300_799_000:  # a stranger's year 10000
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _many(found: set[Any]) -> int | str:
    return len(found) if len(found) < MOST_DISTINCT else f"{MOST_DISTINCT} or more"
