"""The page: for looking, for an operator's day, for a room; made from the same report and tools as the API.

What comes from records is shown by labels and table cells only, which are text: never as HTML or Markdown.
"""

from __future__ import annotations

from fastapi import FastAPI
from nicegui import ui

from kafka_orders.report.live import Live
from kafka_orders.web.page.frame import Page
from kafka_orders.web.staging import Stage
from kafka_orders.web.tools import Tools


def mount(app: FastAPI, live: Live, tools: Tools, stage: Stage | None) -> None:
    """Add the page to an app; with a ``stage``, it can play with the processes behind it."""

    @ui.page("/", title="kafka-orders")
    def index() -> None:
        Page(live, tools, stage).build()

    ui.run_with(app, dark=None, show_welcome_message=False, reconnect_timeout=10.0, tailwind=True)
