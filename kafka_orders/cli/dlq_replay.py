"""Sending dead letters back, giving them up, and taking that back."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import click

from kafka_orders.app import App
from kafka_orders.cli.options import ORDERS, output_option, quiet_option, say, with_settings
from kafka_orders.cli.roles import load_handler
from kafka_orders.cli.selecting import topic_option, with_selection
from kafka_orders.cli.tables import emit
from kafka_orders.deadletters import jobs
from kafka_orders.deadletters.hand import taken
from kafka_orders.deadletters.later import newer
from kafka_orders.deadletters.marks import Marking
from kafka_orders.deadletters.predict import predict
from kafka_orders.deadletters.queue import Queue, open_queue
from kafka_orders.deadletters.replay import Change, Options, Plan, Replay, plan
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.errors import EXIT_INTERRUPTED, KafkaOrdersError, SettingsError
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import DISCARDED, OPEN, JobRecord
from kafka_orders.local.progress import Bar
from kafka_orders.pipeline.heap import settled_heap
from kafka_orders.pipeline.roles import Job
from kafka_orders.pipeline.stop import Stop

SETTINGS = ("retry_topic", "dlq_topic", "dlq_status_topic", "dlq_group", "max_retries", *ORDERS)
reason_option = click.option("--reason", default="", metavar="TEXT", help="why; kept with the job")
yes_option = click.option("--yes", is_flag=True, help="ask nothing")


@click.command()
@with_settings(*SETTINGS, "handler", "fail")
@with_selection
@topic_option
@click.option(
    "--to", default="", metavar="TOPIC", help="send them to this topic; default: the retry topic, due now"
)
@click.option("--dry-run", is_flag=True, help="only tell what would go where")
@click.option(
    "--predict", "only_predict", is_flag=True, help="only run the handler over them, and tell what fails"
)
@click.option(
    "--rate", default=0.0, type=click.FloatRange(0), metavar="N", help="at most so many a second; 0: all"
)
@click.option("--max", "most", default=0, type=click.IntRange(0), metavar="N", help="at most so many; 0: all")
@click.option(
    "--max-replays",
    default=2,
    type=click.IntRange(1, 999),
    show_default=True,
    metavar="N",
    help="a letter replayed so often stays dead",
)
@click.option(
    "--resume", default="", metavar="JOB", help="go on with this replay; latest: the last that did not end"
)
@reason_option
@output_option
@quiet_option
def replay(
    settings: Settings, selection: Selection, *, other_topic: str, to: str, dry_run: bool, only_predict: bool,
    rate: float, most: int, max_replays: int, resume: str, reason: str, output: str, quiet: bool,
) -> None:  # fmt: skip
    """Send dead letters back, each once: they are sent and marked in one transaction."""
    limits = [one for one in (most, selection.limit) if one]
    options = Options(to, rate, min(limits, default=0), max_replays)
    selection = replace(selection, limit=0)  # of those that can be replayed, not of those looked at
    job = App(load_handler(settings.handler)).job(settings)
    with opened(settings, job, other_topic, quiet=quiet) as (queue, bar):
        if resume:
            queue.book.refresh()
            old = jobs.to_resume(resume, queue.book.jobs.values())
            options = Options(**old.options) if old.options else options
            send(queue, old, options, bar, output, quiet=quiet)
            return
        planned = _planned(queue, selection, options)
        if not quiet:
            _warn_of_newer(queue, planned)
        if dry_run:
            _tell_plan(planned, output)
        elif only_predict:
            _tell_prediction(queue, job, planned, bar, output, quiet=quiet)
        elif not planned.total:
            say("nothing is sent" + _because(planned.passed_over), quiet=quiet)
        else:
            begun = jobs.begun("replay", queue, selection, reason, asdict(options))
            send(queue, begun, options, bar, output, quiet=quiet, total=planned.total)


@contextmanager
def opened(settings: Settings, job: Job, topic: str, *, quiet: bool) -> Iterator[tuple[Queue, Bar]]:
    """Open a dead letter topic with a progress bar on stderr."""
    with (
        settled_heap(),
        Bar("reading", 0, shown=not quiet, bytes_=False) as bar,
        open_queue(settings, job.decode, topic=topic, progress=bar.stage) as queue,
    ):
        yield queue, bar


def _planned(queue: Queue, selection: Selection, options: Options) -> Plan:
    queue.require(selection)
    planned = plan(queue, selection, options, sample=10_000)
    if selection.groups and not planned.total and not planned.passed_over:
        raise KafkaOrdersError(
            f"no dead letter is of group {', '.join(selection.groups)}; `kafka-orders dlq groups`"
        )
    return planned


def send(
    queue: Queue, job: JobRecord, options: Options, bar: Bar, output: str, *, quiet: bool, total: int = 0,
    change: Change | None = None,
) -> None:  # fmt: skip
    """Run a replay until it is done or Ctrl-C is pressed, and tell what was done; exit 130 for the latter."""
    queue.progress = lambda _what, _total, _more: None
    bar.stage("sent", total, 0)
    with Stop().on_signals() as stop, taken(queue, stop, lambda text: say(text, quiet=quiet)) as hand:
        say(f"replay {job.id}", quiet=quiet)
        work = Replay(queue, hand, job, options, stop, bar.done, change)
        ended = work.run()
    emit([_row(ended, work.passed_over, work.sent)], output)
    if ended.state == jobs.CANCELLED:
        say(f"stopped; what was sent is committed. `kafka-orders dlq replay --resume {job.id}` goes on")
        sys.exit(EXIT_INTERRUPTED)


def _row(job: JobRecord, passed_over: Mapping[str, int], sent: int) -> dict[str, Any]:
    return {
        "job": job.id,
        "action": job.action,
        "state": job.state,
        "sent": sent,
        "sent_in_all": job.done,
        "passed_over": ", ".join(f"{count} {why}" for why, count in passed_over.items()) or None,
    }


def _warn_of_newer(queue: Queue, planned: Plan) -> None:
    """Say where order matters: a newer order of the same key was handled since."""
    later = newer(queue, planned.sample)
    if later:
        say(
            f"warning: since {len(later)} of these failed, newer orders with the same key were handled, as with"
            f" {next(iter(later))}: where the order of a key's records matters, look at them with `dlq show` first"
        )


def _because(passed_over: Counter[str]) -> str:
    told = "; ".join(f"{count} passed over: {why}" for why, count in passed_over.most_common())
    return f" ({told})" if told else ": nothing is selected"


def _tell_plan(planned: Plan, output: str) -> None:
    rows = [{"what": f"to {topic}", "letters": count} for topic, count in planned.targets.most_common()]
    rows += [{"what": f"error {name}", "letters": count} for name, count in planned.errors.most_common()]
    rows += [{"what": f"passed over: {why}", "letters": count} for why, count in planned.passed_over.most_common()]
    emit(rows or [{"what": "nothing is selected", "letters": 0}], output)


def _tell_prediction(queue: Queue, job: Job, planned: Plan, bar: Bar, output: str, *, quiet: bool) -> None:
    bar.stage("predicted", len(planned.sample), 0)
    found = predict(job, queue.settings, planned.sample, bar.done)
    rows: list[dict[str, Any]] = [{"outcome": "passes", "letters": found.passed, "as_in": None}]
    rows += [
        {"outcome": why, "letters": count, "as_in": str(found.samples[why])}
        for why, count in found.failed.most_common()
    ]
    emit(rows, output)
    if planned.total > len(planned.sample):
        say(f"the first {len(planned.sample)} of {planned.total} were tried", quiet=quiet)


@click.command()
@with_settings(*SETTINGS)
@with_selection
@topic_option
@reason_option
@yes_option
@output_option
@quiet_option
def discard(settings: Settings, selection: Selection, **options: Any) -> None:
    """Give dead letters up, with a reason; `dlq restore` takes it back while they are retained."""
    if not options["reason"]:
        raise SettingsError("a dead letter is given up for a reason: say it with --reason")
    _mark(settings, selection, DISCARDED, **options)


@click.command()
@with_settings(*SETTINGS)
@with_selection
@topic_option
@reason_option
@yes_option
@output_option
@quiet_option
def restore(settings: Settings, selection: Selection, **options: Any) -> None:
    """Open discarded dead letters again."""
    _mark(settings, selection, OPEN, **options)


def _mark(
    settings: Settings, selection: Selection, status: str, *, other_topic: str, reason: str, yes: bool,
    output: str, quiet: bool,
) -> None:  # fmt: skip
    verb, before = ("discard", OPEN) if status == DISCARDED else ("restore", DISCARDED)
    if not selection.ids and not selection.statuses:
        selection = replace(selection, statuses=(before,))
    with opened(settings, App().job(settings), other_topic, quiet=quiet) as (queue, bar):
        queue.require(selection)
        if selection.is_everything and not yes:
            confirm(f"{verb} {sum(1 for _ in queue.letters(selection))}")
        queue.progress = lambda _what, _total, _more: None
        bar.stage("marked", 0, 0)
        with Stop().on_signals() as stop, taken(queue, stop, lambda text: say(text, quiet=quiet)) as hand:
            marking = Marking(queue, hand, selection, status, reason)
            job = marking.run(bar.done)
    if not job.done:
        say("nothing was changed" + _because(marking.passed_over), quiet=quiet)
    emit([_row(job, marking.passed_over, job.done)], output)


def confirm(words: str) -> None:
    """Have ``words`` typed, since no filter says which letters are meant.

    Raises:
        SettingsError: nobody can be asked, or something else was typed.
    """
    asked = f"no filter: this is about all of them. Type '{words}' to do it"
    if not sys.stdin.isatty():
        raise SettingsError(f"{asked}; or give filters, or --yes")
    if click.prompt(asked, err=True).strip() != words:
        raise SettingsError("something else was typed; nothing was changed")
