"""Schemas: which change breaks whom, and into the registry before anybody sends by them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from kafka_orders.cli.options import ORDERS, output_option, quiet_option, say, with_settings
from kafka_orders.cli.schema_compare import compare_command
from kafka_orders.cli.tables import emit
from kafka_orders.domain.errors import EXIT_FAILED, SettingsError
from kafka_orders.domain.order import Contract
from kafka_orders.domain.settings import Settings, env_name
from kafka_orders.formats.base import Format
from kafka_orders.formats.choice import kind_of
from kafka_orders.formats.evolution import Change, Source, changes
from kafka_orders.formats.opening import naming_of, own_format, registry_of
from kafka_orders.formats.registry import SchemaRegistry

_ASKED = ("topic", *ORDERS)
#: What has to hold for each need, of (new consumers read old orders, old consumers read new orders).
_NEEDS = {"backward": (True, False), "forward": (False, True), "full": (True, True), "none": (False, False)}

#: What is told of the registry's own rule.
_TAKEN = {
    True: "", False: "; the registry would not take it",
    None: "; whether the registry takes it, it says of a schema with imports only when it is registered",
}  # fmt: skip


@click.group()
def schema() -> None:
    """Check a schema before it is deployed, register it, compare the formats."""


schema.add_command(compare_command)


@schema.command()
@with_settings(*_ASKED)
@output_option
def register(settings: Settings, *, output: str) -> None:
    """Register the orders' schema, and print its subject and id; the same one again changes nothing.

    Before it what a .proto file imports, each file under the path that it is imported by; these stay if then the
    schema is refused. What the registry refuses as incompatible is not registered (exit 4).
    `produce` registers what is missing, too: this is for those who deploy schemas first.
    """
    own, registry = _own(settings), _registry(settings)
    subject = _subject(settings, own)
    schema_id = registry.id_of(subject, own)
    emit([{"subject": subject, "format": own.kind, "record": own.name, "id": schema_id}], output)


@schema.command()
@with_settings(*_ASKED)
@click.option(
    "--against",
    "files",
    multiple=True,
    help="an older schema (.avsc, .json, .proto#Message); without it, all versions in the registry",
)
@click.option(
    "--need",
    type=click.Choice(sorted(_NEEDS)),
    default="backward",
    show_default=True,
    help="backward: new consumers read old orders; forward: old ones read new orders; full: both",
)
@output_option
@quiet_option
def check(settings: Settings, *, files: tuple[str, ...], need: str, output: str, quiet: bool) -> None:
    """Say what the orders' schema changes and which consumers that breaks; exit 1 if they are needed.

    The schema is that of --schema or --format, as for every role. Nothing is sent or registered.
    """  # fmt: skip
    own = _own(settings)
    registry = None if files else _registry(settings)
    older = _in_files(files, own) if registry is None else _in_registry(registry, _subject(settings, own), own)
    needed = [name for name in (settings.value_field, settings.group_by) if name]
    newer = Source(own.text, folder=getattr(own, "folder", None), record=own.name)
    found = [(name, one) for name, source in older for one in changes(own.kind, source, newer, needed)]
    emit([_row(name, one) for name, one in found], output)
    backward, forward = (
        not any(one.new_reads_old for _, one in found),
        not any(one.old_reads_new for _, one in found),
    )
    takes = _takes(registry, _subject(settings, own), own) if registry else True
    say(_verdict(backward, forward) + _TAKEN[takes], quiet=quiet)
    needs_back, needs_forth = _NEEDS[need]
    if (needs_back and not backward) or (needs_forth and not forward) or takes is False:
        sys.exit(EXIT_FAILED)


def _own(settings: Settings) -> Format:
    own = own_format(settings)
    # The pipeline can count by it, or this says why not.
    Contract.of(own.fields, settings.id_field, settings.value_field, settings.group_by)
    return own


def _subject(settings: Settings, own: Format) -> str:
    return naming_of(settings).subject(settings.topic, own.name)


def _takes(registry: SchemaRegistry, subject: str, own: Format) -> bool | None:
    return registry.holds(subject, own) or registry.takes(subject, own)


def _registry(settings: Settings) -> SchemaRegistry:
    registry = registry_of(settings)
    if registry is None:
        raise SettingsError(f"no schema registry is named: --registry-url, or {env_name('registry_url')}")
    return registry


def _in_registry(registry: SchemaRegistry, subject: str, own: Format) -> list[tuple[str, Source]]:
    """Return names and schemas of all versions of a subject."""
    found = registry.versions(subject)
    if others := {one.kind for _, one in found} - {own.kind}:
        raise SettingsError(f"{subject} has schemas for {', '.join(others)}, and orders are {own.kind}")
    return [(f"version {number}", Source(one.text, one.imports)) for number, one in found]


def _in_files(files: tuple[str, ...], own: Format) -> list[tuple[str, Source]]:
    """Return names and schemas of files; behind a .proto file's name its message may stand."""
    parted = [file.partition("#") for file in files]
    sources = [
        (Path(name), Source(_read(Path(name)), {}, Path(name).absolute().parent, message))
        for name, _, message in parted
    ]
    if strange := [file.name for file, one in sources if kind_of(file.name, one.text) != own.kind]:
        raise SettingsError(f"{', '.join(strange)} is no schema for {own.kind}; name the new one with --schema")
    return [(file.name, one) for file, one in sources]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--against {file} cannot be read: {error}") from None


def _row(name: str, change: Change) -> dict[str, Any]:
    return {
        "against": name, "where": change.where, "change": change.what,
        "new consumers, old orders": change.new_reads_old or "read", "old consumers, new orders":
        change.old_reads_new or "read",
    }  # fmt: skip


def _verdict(backward: bool, forward: bool) -> str:
    match backward, forward:
        case True, True:
            return "consumers and producers may be deployed in any order"
        case True, False:
            return "deploy all consumers first: old ones cannot read new orders"
        case False, True:
            return "deploy all producers first, and consumers when no old order is left: they could not read it"
        case _:
            return "neither can read the other's orders: give the new ones a topic of their own"
