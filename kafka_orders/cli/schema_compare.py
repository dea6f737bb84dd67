"""`schema compare`: the formats side by side, as a table, a chart and a page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

from kafka_orders.cli.options import output_option, quiet_option, say, with_settings
from kafka_orders.cli.tables import Rows, emit
from kafka_orders.comparison import stored
from kafka_orders.comparison.chart import ENDINGS, draw, require_matplotlib
from kafka_orders.comparison.compare import Comparison, compare
from kafka_orders.comparison.page import render, rounded
from kafka_orders.comparison.ways import Way, ways
from kafka_orders.domain.errors import KafkaOrdersError, SettingsError
from kafka_orders.domain.order import Contract
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.opening import all_formats
from kafka_orders.local.progress import Bar
from kafka_orders.pipeline.produce import random_orders

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.command("compare")
@with_settings("schema", "value_field", "group_by", "id_field")
@click.option(
    "--sample", type=_PATH, help="orders as JSON, one a line; default: random ones, of the order's schema"
)
@click.option("--orders", "count", type=click.IntRange(1), default=10_000, show_default=True, help="random orders")
@click.option("--seed", type=int, default=1, show_default=True, help="of the random orders")
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True, help="how often each is timed")
@click.option(
    "--batch",
    type=click.IntRange(1, 1_000_000),
    default=1_000,
    show_default=True,
    help="orders that are sent at once",
)
@click.option("--no-stored", is_flag=True, help="start no Kafka: leave out what orders take on its disk")
@click.option("--chart", type=_PATH, help="file for a picture, .svg or .png")
@click.option("--page", type=_PATH, help="file for a page in Markdown, with the chart in it")
@click.option("--force", is_flag=True, help="replace these files")
@output_option
@quiet_option
def compare_command(
    settings: Settings, *, sample: Path | None, count: int, seed: int, rounds: int, batch: int, no_stored: bool,
    chart: Path | None, page: Path | None, force: bool, output: str, quiet: bool,
) -> None:  # fmt: skip
    """Compare the formats of an order: bytes, time, what is noticed, what a change of the schema breaks.

    Of the order in all formats, or of your own schemas (--schema a.avsc,b.proto) with a sample of your orders.
    Nothing is sent to your broker. All figures come from the run: times are ratios within it.
    """
    _check_files(chart, page, [sample, *map(Path, settings.schema.split(","))], force=force)
    formats = all_formats(settings)
    if settings.schema and sample is None:
        raise SettingsError(
            "orders of your own schema are not made up: name some with --sample, as JSON, one a line"
        )
    orders = _sample(sample) if sample else list(islice(random_orders(seed), count))
    names = settings.id_field, settings.value_field, settings.group_by
    found = _run(
        ways(formats.values(), orders, lambda form: Contract.of(form.fields, *names)),
        rounds, 0 if no_stored else batch, Path(settings.home), evolution=not settings.schema, quiet=quiet,
    )  # fmt: skip
    _print(found, output)
    if chart:
        draw(found, chart)
    if page:
        _write(page, render(found, _address(chart, page)))
    written = [str(one) for one in (chart, page) if one]
    say(
        f"written: {', '.join(written)}" if written else "as a picture: --chart FILE; as a page: --page FILE",
        quiet=quiet,
    )


def _run(made: Sequence[Way], rounds: int, batch: int, home: Path, *, evolution: bool, quiet: bool) -> Comparison:
    steps = rounds + (len(stored.CODECS) * len(made) if batch else 0)
    with Bar("comparing", steps, shown=not quiet, bytes_=False) as bar:
        held = None
        if batch:
            say("a Kafka starts, for what orders take on its disk ...", quiet=quiet)
            with stored.broker(home, progress=not quiet) as running:
                held = batch, stored.measure(made, running, batch, lambda: bar.done(1))
        # After the broker has ended: it would have its share of the processor.
        return compare(made, rounds, held, lambda: bar.done(1), evolution=evolution)


def _sample(file: Path) -> list[Mapping[str, Any]]:
    """Return the orders of a file.

    Raises:
        SettingsError: it cannot be read, is empty, or holds something else than JSON objects.
    """
    try:
        lines = [line for line in file.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        found = [json.loads(line) for line in lines]
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"--sample {file} cannot be read: {error}") from error
    if not found or not all(isinstance(one, dict) for one in found):
        raise SettingsError(f"--sample {file} has to hold JSON objects, one a line")
    return found


def _check_files(chart: Path | None, page: Path | None, read: Iterable[Path | None], *, force: bool) -> None:
    """Refuse what could not be written in the end, before anything is measured."""
    taken = [file.resolve() for file in (chart, page, *read) if file]
    if twice := next((file for file in (chart, page) if file and taken.count(file.resolve()) > 1), None):
        raise SettingsError(f"{twice} is named twice: as what is written, and as something else")
    if chart:
        if chart.suffix not in ENDINGS:
            raise SettingsError(f"--chart {chart} has to end with {' or '.join(ENDINGS)}")
        require_matplotlib()
    for file in (chart, page):
        if file and not file.parent.is_dir():
            raise SettingsError(f"{file.parent} is no folder")
        if file and file.exists() and not force:
            raise SettingsError(f"{file} is there already; nothing was measured. --force replaces it")


def _address(chart: Path | None, page: Path) -> str:
    if chart is None:
        return ""
    return Path(os.path.relpath(chart, page.parent)).as_posix()


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise KafkaOrdersError(f"{file} cannot be written: {error.strerror or error}") from error


def _print(found: Comparison, output: str) -> None:
    tables: dict[str, Any] = asdict(found)
    about = tables.pop("about")
    if output == "json":
        click.echo(json.dumps({"about": about, **tables}, indent=2))
    elif output == "jsonl":
        emit([{"table": name, **row} for name, rows in tables.items() for row in rows], output)
    else:
        _print_tables({title: rows for title, rows in rounded(found).items() if rows})


def _print_tables(tables: Mapping[str, Iterable[Mapping[str, str]]]) -> None:
    for title, rows in tables.items():
        click.echo(f"\n{title}")
        made: Rows = [dict(row) for row in rows]
        emit(made, "table")
