"""Diagnosis: what is wrong with this pipeline, one fix per line."""

from __future__ import annotations

import sys

import click

from kafka_orders.cli.options import FORMAT, GROUPS, TOPICS, output_option, sources_of, with_settings
from kafka_orders.cli.tables import emit
from kafka_orders.domain.errors import EXIT_FAILED, EXIT_NO_BROKER
from kafka_orders.domain.settings import Settings
from kafka_orders.views.doctor import Finding
from kafka_orders.views.examination import examine

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_LOOKED_AT = (
    *TOPICS, "dlq_status_topic", *GROUPS, "max_retries", "retry_delay_ms", "retry_jitter", "group_protocol",
    "session_timeout_ms", *FORMAT,
)  # fmt: skip


@click.command()
@with_settings(*_LOOKED_AT)
@output_option
def doctor(settings: Settings, output: str) -> None:
    """Look at versions, settings, schema registry, broker, topics, groups, retention, clock and transactions.

    Each line says how to fix what it found.

    Exit 0 if there is no problem (warnings are none), 1 if there is one, 3 if no broker answers. Takes up to 12
    seconds more where a transaction is open, to see whether it ends.
    """
    found: list[Finding] = []
    for one in examine(settings, sources_of(click.get_current_context())):
        found.append(one)
        if output == "table":  # line by line, as it is found: some of it takes its time
            told = f"{one.check:13}{one.found}" + (f" -> {one.fix}" if one.fix else "")
            click.echo(f"{click.style(f'{one.level:8}', fg=_COLOURS[one.level])} {told}")
    if output != "table":
        emit([one._asdict() for one in found], output)
    if any(one.level == "problem" for one in found):
        sys.exit(EXIT_NO_BROKER if found[-1].check == "broker" else EXIT_FAILED)
