"""Rows on stdout: a table for people, JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

Rows = list[dict[str, Any]]

_REFRESH_SECONDS = 1.0


def emit(rows: Rows, output: str) -> None:
    """Print rows as ``table``, ``json`` (one array) or ``jsonl`` (one object per line)."""
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif output == "jsonl":
        for row in rows:
            click.echo(json.dumps(row))
    else:
        # A pipe has no width: give it room, so that no figure is cut.
        console = Console()
        if not console.is_terminal:
            console = Console(width=160)
        console.print(table(rows))


def live(rows: Callable[[], Rows]) -> None:
    """Show a table that renews itself until Ctrl-C (KeyboardInterrupt)."""
    with Live(table(rows()), auto_refresh=False) as shown:
        while True:
            time.sleep(_REFRESH_SECONDS)
            shown.update(table(rows()), refresh=True)


def table(rows: Rows) -> Table:
    """Return rows as a table; numbers to the right, shortened to two decimals."""
    made = Table(box=None, pad_edge=False)
    for name, value in (rows[0] if rows else {}).items():
        made.add_column(name, justify="right" if isinstance(value, int | float) else "left")
    for row in rows:
        made.add_row(*(_cell(value) for value in row.values()))
    return made


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
