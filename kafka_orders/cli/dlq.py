"""The dead letter queue."""

from __future__ import annotations

import click

from kafka_orders.app import run_dlq_viewer
from kafka_orders.cli.options import with_settings
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.avro import order_format


@click.group()
def dlq() -> None:
    """Look at what died, and why."""


@dlq.command()
@with_settings("dlq_topic", "dlq_group", "group_protocol", "session_timeout_ms")
def watch(settings: Settings) -> None:
    """Print dead letters as they come: key, order or <could not decode>, error."""
    run_dlq_viewer(order_format().decode, settings)
