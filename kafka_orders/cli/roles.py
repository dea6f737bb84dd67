"""The roles: produce, consume, retry."""

from __future__ import annotations

import importlib
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import click

from kafka_orders.app import App
from kafka_orders.cli.options import FORMAT, ORDERS, TOPICS, with_settings
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.opening import codec_of
from kafka_orders.pipeline.handlers import Handler, accept
from kafka_orders.pipeline.roles import RoleName
from kafka_orders.programs import run_producer, say, write_line
from kafka_orders.stage.supervisor import supervise

_WORKER = (
    *TOPICS, "output_topic", *ORDERS, "handler", "fail", "max_retries", "retry_delay_ms", "retry_jitter",
    "breaker", "probe", "batch_size", "batch_ms", "epoch", "instance_id", "group_protocol", "session_timeout_ms",
    "log_format", "metrics_port", "metrics_host",
)  # fmt: skip
_processes = click.option(
    "--processes", type=click.IntRange(1, 256), default=1, show_default=True,
    help="workers in one group, restarted when they die",
)  # fmt: skip


@click.command()
@with_settings("topic", "rate", "count", "seed", *FORMAT, "metrics_port", "metrics_host")
def produce(settings: Settings) -> None:
    """Send random orders to the orders topic until --count or Ctrl-C."""
    run_producer(codec_of(settings), settings)


@click.command()
@with_settings("group", *_WORKER)
@_processes
def consume(settings: Settings, *, processes: int) -> None:
    """Count orders, exactly once; send failures to retry or to the dead letter queue."""
    _work("consume", "main", settings, processes)


@click.command()
@with_settings("retry_group", *_WORKER)
@_processes
def retry(settings: Settings, *, processes: int) -> None:
    """Try failed orders again when they are due, up to --max-retries times."""
    _work("retry", "retry", settings, processes)


def _work(verb: str, role: RoleName, settings: Settings, processes: int) -> None:
    probe = load_function("probe", settings.probe) if settings.probe else None
    app = App(load_handler(settings.handler), probe=probe)
    if processes == 1:
        app.main(role, settings)
    app.job(settings).handling(settings, role)  # what cannot work is said once, not by every process
    sys.exit(supervise(settings, verb, processes, write_line, say))


def load_handler(where: str) -> Handler:
    """Return the handler that ``module:function`` names; validation alone where it is empty.

    Raises:
        SettingsError: the module or the function is not there.
    """
    return load_function("handler", where) if where else accept


def load_function(setting: str, where: str) -> Any:
    """Return what ``module:function`` names.

    Raises:
        SettingsError: the module or the function is not there.
    """
    module, _, name = where.partition(":")
    if not module or not name:
        raise SettingsError(f"{setting} = {where!r} is not module:function")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does; the console script does not
    try:
        return attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{setting} = {where!r} cannot be loaded: {error}") from error
