"""The demo, and everything at once."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial

import click

from kafka_orders.cli.options import FORMAT, quiet_option, say, with_settings
from kafka_orders.cli.views import print_averages, print_verdict
from kafka_orders.domain.errors import EXIT_NOT_PROVEN
from kafka_orders.domain.settings import DEFAULT_BOOTSTRAP, Settings
from kafka_orders.programs import write_line
from kafka_orders.stage.demo import FAILING, Demo
from kafka_orders.stage.up import up as run_all
from kafka_orders.views.verify import Verdict

#: Dead members are noticed sooner than by default: the demo kills one.
_SESSION_MS = 6_000
_SEED = 42


@click.command()
@click.option("--orders", type=click.IntRange(2), default=300, show_default=True, help="how many orders are sent")
@with_settings("seed", "retry_delay_ms", *FORMAT)
@quiet_option
def demo(settings: Settings, *, orders: int, quiet: bool) -> None:
    """Play the whole story in under a minute and prove that no order is missing; exit 0 only if so.

    Without --bootstrap (or KAFKA_ORDERS_BOOTSTRAP_SERVERS) it brings its own Kafka, in a folder of its own
    that is removed at the end.
    """
    started = time.monotonic()
    seed = _SEED if settings.seed is None else settings.seed
    played = replace(settings, seed=seed, fail=(FAILING,), session_timeout_ms=_SESSION_MS)
    talk = partial(say, quiet=quiet)
    story = Demo(played, orders, (lambda _line: None) if quiet else write_line, talk, not quiet, _show)
    verdict = story.run(own_broker=settings.bootstrap_servers == DEFAULT_BOOTSTRAP)
    talk(f"the demo took {time.monotonic() - started:.0f} s")
    if not verdict.holds:
        sys.exit(EXIT_NOT_PROVEN)


def _show(settings: Settings, verdict: Verdict) -> None:
    print_averages(settings)
    print_verdict(verdict, "table")


@click.command()
@with_settings("rate", "seed", "fail", "max_retries", "retry_delay_ms", *FORMAT)
@click.option("--port", type=click.IntRange(0, 65_535), default=8090, show_default=True, help="of the page")
@click.option("--no-page", is_flag=True, help="without the page")
@quiet_option
def up(settings: Settings, *, port: int, no_page: bool, quiet: bool) -> None:
    """Run everything at once until Ctrl-C: a broker if there is none, all roles, and the page."""
    page = () if no_page else ("serve", "--port", str(port))
    run_all(settings, partial(say, quiet=quiet), write_line, progress=not quiet, page=page)
