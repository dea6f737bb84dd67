"""The roles: produce, consume, retry."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from kafka_orders.app import App
from kafka_orders.cli.options import with_settings
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.avro import order_format
from kafka_orders.pipeline.handlers import Handler, accept
from kafka_orders.programs import run_producer

_WORKER = (
    "topic", "retry_topic", "dlq_topic", "averages_topic", "output_topic", "schema", "value_field", "group_by",
    "id_field", "handler", "fail", "max_retries", "retry_delay_ms", "retry_jitter", "batch_size", "batch_ms",
    "instance_id", "group_protocol", "session_timeout_ms", "log_format",
)  # fmt: skip


@click.command()
@with_settings("topic", "rate", "count", "seed")
def produce(settings: Settings) -> None:
    """Send random orders to the orders topic until --count or Ctrl-C."""
    run_producer(order_format().encode, settings)


@click.command()
@with_settings("group", *_WORKER)
def consume(settings: Settings) -> None:
    """Count orders, exactly once; send failures to retry or to the dead letter queue."""
    App(load_handler(settings.handler)).main("main", settings)


@click.command()
@with_settings("retry_group", *_WORKER)
def retry(settings: Settings) -> None:
    """Try failed orders again when they are due, up to --max-retries times."""
    App(load_handler(settings.handler)).main("retry", settings)


def load_handler(where: str) -> Handler:
    """Return the handler that ``module:function`` names; validation alone where it is empty.

    Raises:
        SettingsError: the module or the function is not there.
    """
    if not where:
        return accept
    module, colon, name = where.partition(":")
    if not colon or not module or not name:
        raise SettingsError(f"handler = {where!r} is not module:function")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does; the console script does not
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"handler = {where!r} cannot be loaded: {error}") from error
    return found  # type: ignore[no-any-return]
