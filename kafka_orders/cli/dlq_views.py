"""Looking at the dead letter queue: list, show, groups, stats."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import click

from kafka_orders.app import App
from kafka_orders.cli.dlq_replay import SETTINGS, opened
from kafka_orders.cli.options import output_option, quiet_option, say, with_settings
from kafka_orders.cli.selecting import topic_option, with_selection
from kafka_orders.cli.tables import Rows, emit
from kafka_orders.deadletters.groups import grouped
from kafka_orders.deadletters.journey import journey
from kafka_orders.deadletters.notes import write_note
from kafka_orders.deadletters.payloads import flat
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.deadletters.stats import Stats, stats
from kafka_orders.deadletters.telling import group_row, iso, journey_told, letter_row
from kafka_orders.deadletters.watch import printable
from kafka_orders.domain import headers
from kafka_orders.domain.errors import UNREADABLE, KafkaOrdersError
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import LetterId

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
        rows = (letter_row(letter, queue) for letter in queue.letters(selection))
        if output == "jsonl":
            for row in rows:
                click.echo(json.dumps(row))
        else:
            found = list(rows)
            emit([_screen(row) for row in found] if output == "table" else found, output)
            _hint(output, all(row["product"] is None for row in found) and bool(found), quiet=quiet)
        _tell_bounds(queue, selection, quiet=quiet)


def _hint(output: str, is_unread: bool, *, quiet: bool) -> None:
    if is_unread and output == "table":
        say(f"no payload here {UNREADABLE}", quiet=quiet)


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
        rows = [journey_told(journey(queue, letter)) for letter in list(queue.letters(selection))]
    _hint(output, all("hex" in row["payload"] for row in rows), quiet=quiet)
    if output != "table":
        emit(rows, output)
        return
    for row in rows:
        for name, value in _lines(row):
            click.echo(f"{name:{_INDENT - 1}} {value}")
        click.echo()


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
        return "  ".join(f"{path}={_text(held)}" for path, held in flat(value) if held not in (None, ""))
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
        rows = [group_row(one, queue) for one in found]
        emit([_group_screen(row) for row in rows] if output == "table" else rows, output)
        _tell_bounds(queue, selection, quiet=quiet)


def _group_screen(row: dict[str, Any]) -> dict[str, Any]:
    """Return a group's row as narrow as a screen is."""
    name, _, said = row["error"].partition(": ")
    told = {"last": (row["last"] or "")[:19], "error": _short(f"{name.rpartition('.')[2]}: {said}")}
    return {name: value for name, value in (row | told).items() if name not in ("first", "stage", "products")}


def _short(text: str) -> str:
    return text if len(text) < 48 else text[:47] + "…"


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
        write_note(settings, group, text)
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
