"""Read-only views: averages, lag, and the proof that nothing is missing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from kafka_orders.app import App
from kafka_orders.cli.options import GROUPS, ORDERS, TOPICS, output_option, quiet_option, with_settings
from kafka_orders.cli.tables import Rows, emit, live
from kafka_orders.domain.averages import Tally
from kafka_orders.domain.errors import EXIT_NOT_PROVEN
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.opening import own_format
from kafka_orders.local.progress import Bar
from kafka_orders.pipeline.startup import readers
from kafka_orders.views.lag import Lag, lags, totals
from kafka_orders.views.snapshot import Snapshot
from kafka_orders.views.verify import Verdict
from kafka_orders.views.verify import verify as run_verify

_ANSWER_SECONDS = 30.0

watch_option = click.option("--watch", is_flag=True, help="show it again every second, until Ctrl-C")


@click.command()
@with_settings("averages_topic", *ORDERS)
@watch_option
@output_option
def averages(settings: Settings, *, watch: bool, output: str) -> None:
    """Show the running average of each product, merged over all workers, and of all orders."""
    print_averages(settings, output, watch=watch)


def print_averages(settings: Settings, output: str = "table", *, watch: bool = False) -> None:
    """Print the averages, once or until Ctrl-C; of decimal numbers with the digits that these have."""
    scale = own_format(settings).fields.get(settings.value_field)
    with readers(settings, _ANSWER_SECONDS) as (admin, reader):
        state = Snapshot(admin, reader, settings.averages_topic)
        _show(lambda: _averages(state, scale), output, watch=watch)


def _averages(state: Snapshot, scale: int | None) -> Rows:
    state.refresh()
    tallies = [*state.products().items(), ("all", state.overall())]
    return [_row(name, one, scale) for name, one in tallies]


def _row(product: str, held: Tally, scale: int | None) -> dict[str, Any]:
    total, average = held.total, held.average
    if scale is not None and held.count:
        exact = held.decimal(scale)
        total, average = float(exact), float(exact / held.count)
    return {
        "product": product, "count": held.count, "average": average, "min": held.min, "max": held.max,
        "sum": total,
    }  # fmt: skip


@click.command()
@with_settings(*TOPICS, *GROUPS, "max_retries", "retry_delay_ms", "retry_jitter")
@watch_option
@output_option
def lag(settings: Settings, *, watch: bool, output: str) -> None:
    """Show how many records each group has before it; those of retry that are not due yet only wait.

    The table ends with the sum of each group; the settings of retry decide what is due.
    """
    with readers(settings, _ANSWER_SECONDS) as (admin, reader):

        def rows() -> Rows:
            found = lags(settings, admin, reader, int(time.time() * 1000))
            return [_lag_row(one) for one in found + (totals(found) if output == "table" else [])]

        _show(rows, output, watch=watch)


def _lag_row(one: Lag) -> dict[str, Any]:
    is_total = one.slot.partition < 0
    return {
        "group": one.group,
        "topic": one.slot.topic,
        "partition": "all" if is_total else one.slot.partition,
        "committed": one.committed,
        "end": None if is_total else one.end,
        "lag": one.lag,
        "waiting": one.waiting,
    }


def _show(rows: Callable[[], Rows], output: str, *, watch: bool) -> None:
    if not watch:
        emit(rows(), output)
        return
    try:
        if output == "table" and sys.stdout.isatty():
            live(rows)  # a pipe gets a table a second instead: rich shows it only the last one
        while True:
            emit(rows(), output)
            time.sleep(1.0)
    except KeyboardInterrupt:
        return


@click.command()
@with_settings(*TOPICS, "dlq_status_topic", *GROUPS, *ORDERS)
@click.option("--deep", is_flag=True, help="recompute every count and sum from the orders, and check each origin")
@output_option
@quiet_option
def verify(settings: Settings, *, deep: bool, output: str, quiet: bool) -> None:
    """Prove that every order is counted once or dead once; exit 5 if that does not hold."""
    verdict = checked(settings, deep=deep, quiet=quiet)
    print_verdict(verdict, output)
    if not verdict.holds:
        sys.exit(EXIT_NOT_PROVEN)


def checked(settings: Settings, *, deep: bool, quiet: bool) -> Verdict:
    """Run verify with a progress bar on stderr."""
    with Bar("reading", 0, shown=not quiet, bytes_=False) as bar:
        job = App().job(settings)
        return run_verify(settings, job.decode, deep=deep, contract=job.contract, progress=bar.stage)


def print_verdict(verdict: Verdict, output: str) -> None:
    """Print a verdict: a row per partition, the findings, and the sentence that counts."""
    rows = [asdict(one) | {"partition": str(one.partition)} for one in verdict.partitions]
    if output == "table":
        emit(rows, output)
        for finding in verdict.findings:
            click.echo(f"- {finding}")
        click.echo(verdict.sentence)
        return
    told = {"holds": verdict.holds, "verdict": verdict.sentence} | asdict(verdict) | {"partitions": rows}
    emit([told], "jsonl")
