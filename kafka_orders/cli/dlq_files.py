"""Dead letters to files and back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from kafka_orders.app import App
from kafka_orders.cli.dlq_replay import SETTINGS, opened
from kafka_orders.cli.options import quiet_option, say, with_settings
from kafka_orders.cli.selecting import topic_option, with_selection
from kafka_orders.deadletters.selection import Selection
from kafka_orders.deadletters.transfer import already_there, import_records, read_jsonl, write_csv, write_jsonl
from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.settings import Settings

_WRITERS: dict[str, Callable[..., None]] = {"jsonl": write_jsonl, "csv": write_csv}


@click.command()
@with_settings(*(one for one in SETTINGS if one != "format"))  # here it is the file's
@with_selection
@click.argument("file")
@topic_option
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(_WRITERS)),
    default="jsonl",
    show_default=True,
    help="jsonl can be imported; csv is for spreadsheets",
)
@click.option("--force", is_flag=True, help="replace the file")
@quiet_option
def export(
    settings: Settings, selection: Selection, *, file: str, other_topic: str, form: str, force: bool, quiet: bool
) -> None:
    """Write dead letters to FILE, or to stdout where it is `-`; never half a file."""
    with opened(settings, App().job(settings), other_topic, quiet=quiet) as (queue, _):
        queue.require(selection)
        with _whole(file, force=force) as out:
            _WRITERS[form](queue.letters(selection), queue.decode, out)
        say(f"{queue.scan.found} dead letters written", quiet=quiet)


@contextmanager
def _whole(file: str, *, force: bool) -> Iterator[TextIO]:
    """Give a file that is there as a whole in the end, or not at all."""
    if file == "-":
        yield sys.stdout
        return
    target = Path(file)
    if target.exists() and not force:
        raise KafkaOrdersError(f"{file} is there already; nothing was written. --force replaces it")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            yield out
        part.replace(target)
    except OSError as error:
        raise KafkaOrdersError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


@click.command("import")
@with_settings(*SETTINGS)
@click.argument("file")
@topic_option
@click.option("--again", is_flag=True, help="write also what was imported before")
@quiet_option
def import_(settings: Settings, *, file: str, other_topic: str, again: bool, quiet: bool) -> None:
    """Write the dead letters of FILE (jsonl) back, byte for byte, by default to the dead letter queue.

    What was imported before is passed over, so an import that was killed may be run again; not two at once.
    """
    with opened(settings, App().job(settings), other_topic, quiet=quiet) as (queue, bar):
        try:
            with Path(file).open(encoding="utf-8") as lines:
                known = set() if again else already_there(queue)
                bar.stage("imported", 0, 0)
                sent, passed = import_records(queue, read_jsonl(lines), known, bar.done)
        except (OSError, UnicodeDecodeError) as error:
            raise KafkaOrdersError(f"{file} cannot be read: {error}") from error
    say(f"{sent} dead letters written to {queue.topic}" + (f", {passed} were there already" if passed else ""))
