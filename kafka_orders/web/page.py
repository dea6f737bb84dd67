"""The page."""

from __future__ import annotations

from fastapi import FastAPI

from kafka_orders.report.live import Live
from kafka_orders.web.tools import Tools


def mount(app: FastAPI, live: Live, tools: Tools) -> None:
    """Add the page to an app."""
