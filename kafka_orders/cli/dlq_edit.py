"""Repairing dead letters: change their orders, and send them back."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace

import click

from kafka_orders.app import App
from kafka_orders.cli.dlq_replay import SETTINGS, confirm, opened, reason_option, send, yes_option
from kafka_orders.cli.options import output_option, quiet_option, say, with_settings
from kafka_orders.cli.selecting import topic_option, with_selection
from kafka_orders.deadletters import jobs
from kafka_orders.deadletters.edit import Edit, Preview, editable, edited, preview
from kafka_orders.deadletters.expressions import parse
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.replay import Options, plan
from kafka_orders.deadletters.selection import Selection
from kafka_orders.deadletters.watch import printable
from kafka_orders.domain.errors import KafkaOrdersError, SettingsError
from kafka_orders.domain.settings import Settings

#: Letters that are tried before anything is sent; the others are tried as they are sent.
_TRIED = 10_000


@click.command()
@with_settings(*SETTINGS)
@with_selection
@topic_option
@click.option("--set", "sets", multiple=True, metavar="FIELD=EXPRESSION", help="new value of a field")
@click.option(
    "--to", default="", metavar="TOPIC", help="send them to this topic; default: the retry topic, due now"
)
@click.option(
    "--max-replays",
    default=2,
    type=click.IntRange(1, 999),
    show_default=True,
    metavar="N",
    help="a letter replayed so often stays dead",
)
@click.option("--dry-run", is_flag=True, help="only tell what would change")
@reason_option
@yes_option
@output_option
@quiet_option
def edit(
    settings: Settings, selection: Selection, *, other_topic: str, sets: tuple[str, ...], to: str,
    max_replays: int, dry_run: bool, reason: str, yes: bool, output: str, quiet: bool,
) -> None:  # fmt: skip
    """Change the orders of dead letters and send them back; without --set, one of them in $EDITOR.

    The dead letter stays as it is. An expression sees the order's fields: --set 'price=abs(price)'.
    """
    job, options = App().job(settings), Options(to, most=selection.limit, max_replays=max_replays)
    selection = replace(selection, limit=0)
    work = Edit(job.codec, job.contract.validator(), [parse(one, job.codec.fields) for one in sets])
    with opened(settings, job, other_topic, quiet=quiet) as (queue, bar):
        letters = _letters(queue, selection, options)
        if not sets:
            work = _typed(work, letters, selection)
        found = preview(work, letters)
        if not dry_run and not found.changing:
            raise KafkaOrdersError("nothing was changed, and nothing is sent: " + "; ".join(_refusals(found)))
        _show(found)
        if dry_run:
            return
        _ask(selection, found, yes=yes)
        begun = jobs.begun("edit", queue, selection, reason, asdict(options) | {"set": list(sets)})
        send(queue, begun, options, bar, output, quiet=quiet, total=found.changing, change=work.payload)


def _letters(queue: Queue, selection: Selection, options: Options) -> list[Letter]:
    queue.require(selection)
    planned = plan(queue, selection, options, sample=_TRIED)
    if not planned.total:
        why = "; ".join(f"{count} passed over: {why}" for why, count in planned.passed_over.items())
        raise KafkaOrdersError(f"there is nothing to edit: {why or 'nothing is selected'}")
    return planned.sample


def _typed(work: Edit, letters: list[Letter], selection: Selection) -> Edit:
    """Have one order edited, again and again until it fits the schema."""
    if len(selection.ids) != 1:
        raise SettingsError("an editor takes one dead letter: name it with --id, or change many with --set")
    text = editable(letters[0], work.codec.decode)
    while True:
        told = click.edit(text, extension=".json")
        if told is None or not told.strip() or told == text:
            say("nothing was changed")
            sys.exit(0)
        text = told
        try:
            tried = replace(work, whole=edited(text))
            tried.changed(letters[0])
        except ValueError as error:
            if not click.confirm(f"{error}. Edit it again?", default=True, err=True):
                raise SettingsError("nothing was changed") from error
        else:
            return tried


def _show(found: Preview) -> None:
    for letter, changed in found.samples:
        say(f"{letter}")
        for line in (*changed.fields(), changed.bytes()):
            say(f"  {printable(line)}")
    say(f"{found.changing} would change" + (f", {len(found.samples)} of them above" if found.changing else ""))
    for line in _refusals(found):
        say(line)


def _refusals(found: Preview) -> list[str]:
    return [f"{count} would not: {printable(why)}" for why, count in found.refused.most_common(10)]


def _ask(selection: Selection, found: Preview, *, yes: bool) -> None:
    if yes:
        return
    if selection.is_everything:
        confirm(f"edit {found.changing}")
    elif sys.stdin.isatty() and not click.confirm("send them?", err=True):
        raise SettingsError("nothing was changed")
