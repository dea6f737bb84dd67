"""Looking at the dead letter queue: list, show, groups, stats."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import click

from kafka_orders.app import App
from kafka_orders.cli.dlq_replay import SETTINGS, opened
from kafka_orders.cli.options import output_option, quiet_option, say, with_settings
from kafka_orders.cli.selecting import topic_option, with_selection
from kafka_orders.cli.tables import Rows, emit
from kafka_orders.deadletters.groups import MOST_DISTINCT, Group, grouped
from kafka_orders.deadletters.journey import Journey, journey
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.notes import write_note
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection, order_of
from kafka_orders.deadletters.stats import Stats, stats
from kafka_orders.deadletters.watch import printable
from kafka_orders.domain import headers
from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import OPEN, LetterId

_INDENT = 20
#: Rows of a table; jsonl has all.
_SCREEN = 50


@click.command("list")
@with_settings(*SETTINGS)
@with_selection
@topic_option
@output_option
@quiet_option
def list_(settings: Settings, selection: Selection, *, other_topic: str, output: str, quiet: bool) -> None:
    """List dead letters, each partition in its order; a table ends after 50 unless --limit says more."""
    if output == "table" and not selection.limit:
        selection = replace(selection, limit=_SCREEN)
    with opened(settings, App().job(settings), other_topic, quiet=quiet) as (queue, _):
        queue.require(selection)
        rows = (_row(letter, queue) for letter in queue.letters(selection))
        if output == "jsonl":
            for row in rows:
                click.echo(json.dumps(row))
        else:
            emit([_screen(row) for row in rows] if output == "table" else list(rows), output)
        _tell_bounds(queue, selection, quiet=quiet)


def _row(letter: Letter, queue: Queue) -> dict[str, Any]:
    told = letter.told
    product = order_of(letter, queue.decode).get(queue.settings.group_by)
    return {
        "id": str(letter.id),
        "failed_at": iso(letter.failed_at_ms),
        "key": printable(letter.key),
        "product": None if product is None else printable(str(product)),
        "error_class": printable(told.fqcn),
        "error": printable(told.message[:200]),
        "retries": told.retries,
        "replays": told.replay_count,
        "status": letter.standing.status,
        "group": printable(letter.fingerprint),
    }


def _screen(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as narrow as a screen is."""
    name = row["error_class"].rpartition(".")[2]
    told = {"failed_at": (row["failed_at"] or "")[:19], "error": _short(f"{name}: {row['error']}")}
    return {name: value for name, value in (row | told).items() if name not in ("key", "error_class")}


def _tell_bounds(queue: Queue, selection: Selection, *, quiet: bool) -> None:
    """Say what was not looked at, and where nothing was found, of what kind that is."""
    scan = queue.scan
    if not scan.found and selection.groups:
        raise KafkaOrdersError(f"no dead letter is of group {', '.join(selection.groups)}; see `dlq groups`")
    if not scan.complete:
        total = sum(scan.ends.values())
        say(f"not complete: ended at {scan.found} found, {scan.looked_at} of at most {total} looked at (--limit)",
            quiet=quiet)  # fmt: skip
    elif not scan.found:
        say(f"nothing is selected; {scan.looked_at} dead letters were looked at", quiet=quiet)


def iso(epoch_ms: int) -> str | None:
    """Return a time as people and programs read it, in UTC; None where it is unknown."""
    if epoch_ms < 0 or epoch_ms > 253_402_300_799_000:  # a stranger's year 10000
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")


@click.command()
@with_settings(*SETTINGS)
@click.argument("ids", nargs=-1, required=True, metavar="TOPIC/PARTITION/OFFSET...")
@topic_option
@output_option
@quiet_option
def show(settings: Settings, ids: tuple[str, ...], *, other_topic: str, output: str, quiet: bool) -> None:
    """Show all there is to know about dead letters: payload, journey, status, and newer orders with the key."""
    selection = Selection(ids=tuple(map(LetterId.parse, ids)))
    topic = other_topic or selection.ids[0].topic
    with opened(settings, App().job(settings), topic, quiet=quiet) as (queue, _):
        queue.require(selection)
        rows = [_told(journey(queue, letter)) for letter in list(queue.letters(selection))]
    if output != "table":
        emit(rows, output)
        return
    for row in rows:
        for name, value in _lines(row):
            click.echo(f"{name:{_INDENT - 1}} {value}")
        click.echo()


def _told(found: Journey) -> dict[str, Any]:
    letter, payload = found.letter, found.payload
    told, standing = letter.told, letter.standing
    return {
        "id": str(letter.id),
        "status": standing.status,
        "standing": asdict(standing),
        "job": None if found.job is None else asdict(found.job),
        "key": printable(letter.key),
        "payload": {name: value for name, value in asdict(payload).items() if value not in (None, "")},
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


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a row for people: what is nested on lines of its own, nothing that is empty."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name} {each}", _text(held)) for each, held in value.items() if held)
        elif isinstance(value, list):
            told = (
                [each for each in value if each[:1] != [headers.EXCEPTION_STACKTRACE]]
                if name == "headers"
                else value
            )
            yield from ((name if not number else "", _text(each)) for number, each in enumerate(told))
        elif value not in (None, ""):
            yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name}={_text(held)}" for name, held in value.items() if held not in (None, ""))
    if isinstance(value, list):
        return ": ".join(_text(each) for each in value)
    return "\n".join(map(printable, str(value).splitlines())).replace("\n", "\n" + " " * _INDENT)


@click.command()
@with_settings(*SETTINGS)
@with_selection
@topic_option
@output_option
@quiet_option
def groups(settings: Settings, selection: Selection, *, other_topic: str, output: str, quiet: bool) -> None:
    """Show what dead letters have in common, and whether it looks like one record, a bug or an outage."""
    with opened(settings, App().job(settings), other_topic, quiet=quiet) as (queue, _):
        queue.require(selection)
        found = grouped(queue.letters(selection), queue.decode, settings.group_by)
        rows = [_group_row(one, queue) for one in found]
        emit([_group_screen(row) for row in rows] if output == "table" else rows, output)
        _tell_bounds(queue, selection, quiet=quiet)


def _group_row(group: Group, queue: Queue) -> dict[str, Any]:
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


def _group_screen(row: dict[str, Any]) -> dict[str, Any]:
    """Return a group's row as narrow as a screen is."""
    name, _, said = row["error"].partition(": ")
    told = {"last": (row["last"] or "")[:19], "error": _short(f"{name.rpartition('.')[2]}: {said}")}
    return {name: value for name, value in (row | told).items() if name not in ("first", "stage", "products")}


def _short(text: str) -> str:
    return text if len(text) < 48 else text[:47] + "…"


def _many(found: set[Any]) -> int | str:
    return len(found) if len(found) < MOST_DISTINCT else f"{MOST_DISTINCT} or more"


@click.command()
@with_settings(*SETTINGS)
@click.argument("group")
@click.argument("text")
@quiet_option
def note(settings: Settings, group: str, text: str, *, quiet: bool) -> None:
    """Write a note about a group of dead letters; an empty text takes it away."""
    with opened(settings, App().job(settings), "", quiet=quiet) as (queue, _):
        known = grouped(queue.letters(Selection(groups=(group,))), queue.decode, settings.group_by)
        if not known:
            raise KafkaOrdersError(f"no dead letter is of group {group}; `kafka-orders dlq groups` shows them")
        write_note(queue, group, text)
    say(f"noted about {known[0].count} dead letters", quiet=quiet)


@click.command("stats")
@with_settings(*SETTINGS)
@with_selection
@topic_option
@output_option
@quiet_option
def stats_(settings: Settings, selection: Selection, *, other_topic: str, output: str, quiet: bool) -> None:
    """Count dead letters by status, error, stage and product; warn of open ones that will be gone soon."""
    with opened(settings, App().job(settings), other_topic, quiet=quiet) as (queue, _):
        queue.require(selection)
        found = stats(queue, selection, int(time.time() * 1000))
        emit(_stats_rows(found) if output == "table" else [_stats_told(found)], output)
        _tell_bounds(queue, selection, quiet=quiet)
    if found.expiring:
        say(f"{found.expiring} open dead letters will be removed by retention within 72 h: replay or discard them,"
            f" or raise retention.ms of {queue.topic}")  # fmt: skip


def _stats_rows(found: Stats) -> Rows:
    rows: Rows = [{"what": "dead letters", "letters": found.total}]
    for name, counts in (("status", found.statuses), ("error", found.classes), ("stage", found.stages),
                         ("product", found.products)):  # fmt: skip
        rows += [{"what": f"{name} {printable(each)}", "letters": count} for each, count in counts.most_common(10)]
    rows += [
        {"what": printable(f"{job.action} {job.id} {job.state} by {job.author}"), "letters": job.done}
        for job in found.jobs
    ]
    return rows


def _stats_told(found: Stats) -> dict[str, Any]:
    oldest = found.oldest_open
    return {
        "total": found.total,
        "statuses": dict(found.statuses),
        "error_classes": dict(found.classes.most_common(100)),
        "stages": dict(found.stages),
        "products": dict(found.products.most_common(100)),
        "oldest_open": None if oldest is None else {"at": iso(oldest[0]), "id": str(oldest[1])},
        "expiring_within_72_h": found.expiring,
        "jobs": [asdict(job) for job in found.jobs],
    }
