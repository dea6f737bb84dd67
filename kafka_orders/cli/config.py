"""Settings: show what is in force, and from where."""

from __future__ import annotations

import json

import click

from kafka_orders.domain.secrets import redacted
from kafka_orders.domain.settings import DECLARED, env_name
from kafka_orders.sources import load_with_sources


@click.group()
def config() -> None:
    """The settings in force."""


@config.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="format of stdout")
def show(output: str) -> None:
    """Show every setting, its value and where it comes from; secrets are masked."""
    settings, sources = load_with_sources()
    values = redacted(settings)
    if output == "json":
        told = {name: {"value": values[name], "source": sources.get(name, "default")} for name in DECLARED}
        click.echo(json.dumps(told, indent=2))
        return
    width = max(len(env_name(name)) for name in DECLARED)
    for name in DECLARED:
        click.echo(f"{env_name(name):{width}}  {values[name]!s:30}  {sources.get(name, 'default')}")
