"""The dead letter queue."""

from __future__ import annotations

import click

from kafka_orders.cli.dlq_edit import edit
from kafka_orders.cli.dlq_files import export, import_
from kafka_orders.cli.dlq_replay import discard, replay, restore
from kafka_orders.cli.dlq_views import groups, list_, note, show, stats_
from kafka_orders.cli.options import FORMAT, with_settings
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.opening import codec_of
from kafka_orders.programs import run_dlq_viewer


@click.group()
def dlq() -> None:
    """Look at what died, and why."""


for command in (discard, edit, export, groups, import_, list_, note, replay, restore, show, stats_):
    dlq.add_command(command)


@dlq.command()
@with_settings("dlq_topic", *FORMAT, "dlq_group", "group_protocol", "session_timeout_ms")
def watch(settings: Settings) -> None:
    """Print dead letters as they come: key, order or <could not decode>, error."""
    run_dlq_viewer(codec_of(settings).decode, settings)
