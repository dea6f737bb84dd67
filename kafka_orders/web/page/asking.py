"""Asking operators, and telling them how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nicegui import ui

from kafka_orders.domain.errors import KafkaOrdersError


@asynccontextmanager
async def attempt(done: str = "") -> AsyncIterator[None]:
    """Tell how the block went: what cannot be done is said in its own words, and the page goes on."""
    try:
        yield
    except (KafkaOrdersError, ValueError) as error:
        ui.notify(str(error), type="negative", multi_line=True, timeout=10_000, close_button="close")
    else:
        if done:
            ui.notify(done, type="positive")


def raw(text: str, mark: str = "") -> ui.label:
    """Show a stranger's text as it is: a label is text, whatever it holds."""
    made = ui.label(text).classes("raw w-full")
    return made.classes(f"at-{mark}") if mark else made
