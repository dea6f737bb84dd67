"""The frame of the page: head, tabs, theme; and the one timer that brings all views up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from nicegui import context, ui

from kafka_orders.report.live import Live
from kafka_orders.report.model import Report
from kafka_orders.web.page.charts import Charts
from kafka_orders.web.page.flow import FlowView
from kafka_orders.web.page.groups import Groups
from kafka_orders.web.page.health import Health
from kafka_orders.web.page.letters import Letters
from kafka_orders.web.page.present import Present
from kafka_orders.web.page.replays import Replays
from kafka_orders.web.staging import Stage
from kafka_orders.web.tools import Tools

_LOOK_SECONDS = 0.5
_STYLE = Path(__file__).with_name("style.css")
#: Theme by the name of its button; None follows the system.
_THEMES = {"auto": None, "light": False, "dark": True}


class View(Protocol):
    """A part of the page."""

    def update(self, report: Report) -> None:
        """Show what a report says."""


class Page:
    """One open page. Nothing in it is kept by the server once it is closed."""

    def __init__(self, live: Live, tools: Tools, stage: Stage | None) -> None:
        self._live, self._tools, self._stage = live, tools, stage
        self._views: list[View] = []
        self._seen = -1
        self.operator = str(getattr(context.client.request.state, "operator", "") or "page")

    def build(self) -> None:
        """Make the page, and keep it up to date."""
        ui.add_css(_STYLE)
        ui.colors(primary="#0072b2", positive="#009e73", warning="#e69f00", negative="#d55e00")
        dark = ui.dark_mode(None)
        with ui.header(elevated=False).classes("items-center justify-between px-4 py-2"):
            ui.label("kafka-orders").classes("text-xl font-bold").props('role="heading" aria-level="1"')
            with ui.tabs().props("inline-label") as tabs:
                named = {name: ui.tab(name) for name in self._tabs()}
            with ui.row().classes("items-center gap-2"):
                theme = ui.toggle(list(_THEMES), value="auto").props('dense unelevated aria-label="theme"')
                theme.on_value_change(lambda told: dark.set_value(_THEMES[told.value]))
                large = ui.switch("large").props('aria-label="large type"')
                large.on_value_change(lambda told: self._enlarge(large=told.value))
        with ui.column().classes("shell p-3 gap-3"):
            self._trouble = ui.label().classes("trouble at-trouble").props('role="alert"')
            with ui.tab_panels(tabs, value=next(iter(named))).classes("w-full bg-transparent"):
                for name, tab in named.items():
                    with ui.tab_panel(tab).classes("p-0 gap-3"):
                        self._fill(name)
        self._refresh()
        ui.timer(_LOOK_SECONDS, self._refresh)

    def _tabs(self) -> list[str]:
        return ["Flow", "Dead letters", "Health", *(["Stage"] if self._stage else [])]

    def _fill(self, name: str) -> None:
        if name == "Flow":
            self._views += [FlowView(), Charts()]
        elif name == "Dead letters":
            replays = Replays(self._tools, self.operator)
            letters = Letters(self._tools, replays, self.operator)
            self._views += [Groups(self._tools, letters, self.operator), replays, letters]
            letters.build()
        elif name == "Health":
            self._views.append(Health())
        elif self._stage is not None:
            present = Present(self._stage, self._tools, self.operator)
            self._views.append(FlowView())
            present.build_log()

    def _enlarge(self, *, large: bool) -> None:
        ui.query("body").classes(add="presenting" if large else "", remove="" if large else "presenting")

    def _refresh(self) -> None:
        report, trouble = self._live.report, self._live.trouble
        self._trouble.set_text(trouble and f"This is old: {trouble}")
        self._trouble.set_visibility(bool(trouble))
        if self._live.version == self._seen:
            return
        self._seen = self._live.version
        for view in self._views:
            view.update(report)
