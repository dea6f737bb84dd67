"""The embedded Kafka: start, stop, status."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from kafka_orders.cli.options import quiet_option, say
from kafka_orders.domain.errors import EXIT_FAILED
from kafka_orders.local import Cluster, ClusterStatus
from kafka_orders.sources import load

_output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="of stdout")


@click.group()
def broker() -> None:
    """A real Apache Kafka on this machine: no Docker, no Java installed."""


@broker.command()
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", help="3: replication 3, min.insync 2")
@click.option("--port", type=click.IntRange(0, 65_530), default=9092, help="of the first broker; 0 = free ones")
@click.option("--heap-mb", type=click.IntRange(128), default=512, help="heap of each broker")
@_output
@quiet_option
def start(*, brokers: str, port: int, heap_mb: int, output: str, quiet: bool) -> None:
    """Start it and return once it answers; the first time, 45 MB are downloaded."""
    say("starting Kafka ...", quiet=quiet)
    cluster = Cluster(_home(), brokers=int(brokers), port=port, heap_mb=heap_mb)
    _print(cluster.start(progress=not quiet), output)


@broker.command()
@quiet_option
def stop(*, quiet: bool) -> None:
    """Stop it cleanly; topics, offsets and averages stay."""
    stopped = Cluster(_home()).stop()
    say("stopped; the data stays" if stopped else "no broker of ours was running", quiet=quiet)


@broker.command()
@_output
def status(output: str) -> None:
    """Say whether it runs; exit 0 if it does, 1 if not."""
    found = Cluster(_home()).status()
    if found is None:
        say("no broker of ours is running: `kafka-orders broker start`")
        sys.exit(EXIT_FAILED)
    _print(found, output)


def _home() -> Path:
    return Path(load().home)


def _print(found: ClusterStatus, output: str) -> None:
    told = {
        "bootstrap_servers": found.bootstrap_servers,
        "pids": found.pids,
        "data": str(found.folder),
        "logs": [str(file) for file in found.log_files],
        "started_at": datetime.fromtimestamp(found.started_at, UTC).astimezone().isoformat(timespec="seconds"),
    }
    if output == "json":
        click.echo(json.dumps(told))
        return
    for name, value in told.items():
        click.echo(f"{name:18} {', '.join(map(str, value)) if isinstance(value, list) else value}")
