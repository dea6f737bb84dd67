"""The page, the REST API and `/metrics`, alone."""

from __future__ import annotations

import re
from functools import partial
from importlib import import_module
from pathlib import Path

import click

from kafka_orders.app import App
from kafka_orders.cli.dlq_replay import SETTINGS
from kafka_orders.cli.options import quiet_option, say, with_settings
from kafka_orders.cli.roles import load_handler
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.startup import contact
from kafka_orders.pipeline.stop import Stop
from kafka_orders.stage.cues import RemoteStage
from kafka_orders.views import logs

#: Sixteen characters are beyond guessing over a network; these may stand in a header and in a cookie (RFC 6750).
_TOKEN = re.compile(r"[\w.~+/=-]{16,}", re.ASCII)


@click.command()
@with_settings(*SETTINGS, "handler", "log_format")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="address; another than this machine's own needs --token-file",
)
@click.option("--port", type=click.IntRange(0, 65_535), default=8090, show_default=True, help="0: a free one")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="file with a token, or lines NAME:TOKEN; each name stands in the audit",
)
@click.option("--allow-host", "names", multiple=True, metavar="NAME", help="name under which browsers may ask")
@click.option("--read-only", is_flag=True, help="nothing can be replayed, edited, discarded or noted")
@quiet_option
def serve(
    settings: Settings, *, host: str, port: int, token_file: Path | None, names: tuple[str, ...], read_only: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Serve the page, the REST API and /metrics until Ctrl-C; the pipeline runs the same without it."""
    try:
        server, mount = import_module("kafka_orders.web.server"), import_module("kafka_orders.web.page").mount
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"the page needs more packages ({missing.name} is missing): pip install 'kafka-orders[dashboard]', or"
            " in a clone pip install --require-hashes -r requirements-dashboard.txt"
        ) from missing
    logs.set_up(settings.log_format, quiet=quiet)
    job = App(load_handler(settings.handler)).job(settings)
    tokens = read_tokens(token_file) if token_file else {}
    site = server.Site(settings, job, host, port, tokens, read_only, frozenset(map(str.lower, names)))
    with Stop().on_signals() as stop:
        contact(settings)
        stage = RemoteStage.of_environment()
        server.serve(site, stop, partial(say, quiet=quiet), partial(mount, stage=stage))


def read_tokens(file: Path) -> dict[str, str]:
    """Return tokens by the names of their holders.

    Raises:
        SettingsError: the file holds none, one that can be guessed, or two of the same name.
    """
    tokens: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8", errors="replace").split():
        name, colon, token = line.partition(":")
        who = name if colon else "operator"
        if not who or who in tokens:
            raise SettingsError(f"{file}: each token has a name of its own, {who!r} is none; nothing is served")
        tokens[who] = token if colon else line
    if not tokens or not all(map(_TOKEN.fullmatch, tokens.values())):
        raise SettingsError(
            f"{file}: a token has 16 or more letters, digits and any of . _ ~ + / = -; nothing is served"
        )
    return tokens
