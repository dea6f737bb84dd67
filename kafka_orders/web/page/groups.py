"""Groups of dead letters: what they have in common, and what to do about a whole group."""

from __future__ import annotations

from asyncio import to_thread
from typing import Any

from nicegui import ui

from kafka_orders.deadletters.telling import iso
from kafka_orders.report.model import LetterGroup, Report
from kafka_orders.web.page.asking import attempt
from kafka_orders.web.page.letters import Letters
from kafka_orders.web.tools import Tools

_NAMES = ("letters", "open", "trend", "looks like", "error", "keys", "last", "note")


class Groups:
    """A table of groups; the one that is chosen filters the letters below."""

    def __init__(self, tools: Tools, letters: Letters, operator: str) -> None:
        self._tools, self._letters, self._operator = tools, letters, operator
        columns = [{"name": name, "label": name, "field": name, "align": "left"} for name in _NAMES]
        self._table = ui.table(
            rows=[], columns=columns, row_key="group", title="Groups", selection="single", pagination=5,
            on_select=lambda told: self._chosen(told.selection),
        )  # fmt: skip
        self._table.classes("w-full").props("dense flat bordered").classes("at-table-groups")
        with ui.row().classes("items-center gap-2"):
            self._note = ui.input("note about the chosen group").classes("w-80").props("dense maxlength=4000")
            ui.button("Keep note", on_click=self._keep).props("flat dense")

    def update(self, report: Report) -> None:
        """Show what a report says."""
        rows = [_row(one) for one in report.letters.groups]
        if rows != self._table.rows:
            self._table.rows = rows

    async def _chosen(self, selection: list[dict[str, Any]]) -> None:
        self._note.set_value(selection[0]["note"] if selection else "")  # before anybody can begin to type
        await self._letters.show_group(selection[0]["group"] if selection else "")

    async def _keep(self) -> None:
        if not self._table.selected:
            ui.notify("choose a group first", type="warning")
            return
        group, text = self._table.selected[0]["group"], self._note.value or ""
        async with attempt("the note was kept"):
            await to_thread(self._tools.note, group, text, self._operator)


def _row(one: LetterGroup) -> dict[str, Any]:
    name = one.error_class.rpartition(".")[2]
    return {
        "group": one.fingerprint, "letters": one.letters, "open": one.open, "trend": one.trend,
        "looks like": one.looks_like, "error": f"{name}: {one.message}"[:120], "keys": one.keys,
        "last": (iso(one.last_ms) or "")[:19], "note": one.note,
    }  # fmt: skip
