"""Topics: create what is missing, check what is there, begin again."""

from __future__ import annotations

import sys

import click

from kafka_orders.cli.options import GROUPS, TOPICS, say, with_settings
from kafka_orders.domain.errors import EXIT_FAILED
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline import upkeep

_NAMES = (*TOPICS, "dlq_status_topic", "partitions", "max_retries")


@click.group()
def topics() -> None:
    """The pipeline's five topics."""


@topics.command()
@with_settings(*_NAMES)
def create(settings: Settings) -> None:
    """Create the topics that are missing; those that exist are left as they are."""
    made = upkeep.create(settings, say)
    click.echo("\n".join(f"created {name}" for name in made) or "all topics exist")


@topics.command()
@with_settings(*_NAMES)
def check(settings: Settings) -> None:
    """Say what is wrong with the topics, one fix per line; exit 1 if anything is."""
    complaints = upkeep.check(settings, say)
    click.echo("\n".join(complaints) or "all topics are as they should be")
    if complaints:
        sys.exit(EXIT_FAILED)


@click.command()
@with_settings(*_NAMES, *GROUPS)
@click.option("--yes", is_flag=True, help="really delete orders, retries, dead letters, averages and offsets")
def reset(settings: Settings, *, yes: bool) -> None:
    """Bring this pipeline's topics, offsets and state back to empty."""
    names = upkeep.names(settings)
    if not yes:
        raise click.UsageError(
            f"this deletes {', '.join(names)} and the offsets of their groups at"
            f" {settings.bootstrap_servers}; say --yes to do it"
        )
    upkeep.reset(settings, say)
    click.echo(f"emptied {', '.join(names)}")
