"""Changing orders of dead letters: one as JSON, many by an expression; shown before it is sent."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from nicegui import ui

from kafka_orders.deadletters.edit import Edit, editable, edited
from kafka_orders.domain.errors import SettingsError
from kafka_orders.web.page.asking import attempt, raw
from kafka_orders.web.page.replays import Replays
from kafka_orders.web.tools import Ask, Tools


class Editing:
    """A dialog: type, preview, send."""

    def __init__(self, tools: Tools, replays: Replays, ask: Ask) -> None:
        self._tools, self._replays = tools, replays
        self._ask = replace(ask, request=f"{uuid4().hex}:page")  # pressed twice, it is the same job

    async def open(self) -> None:
        """Open the dialog for what is meant.

        Raises:
            SettingsError: nothing is chosen, and no filter narrows it.
        """
        ids = self._ask.wanted.ids
        if self._ask.wanted.is_everything:
            raise SettingsError("choose letters, or filter them, first")
        text = ""
        if len(ids) == 1:
            found = await to_thread(self._tools.show, ids[0])
            text = editable(found.letter, self._tools.job.decode)
        with ui.dialog() as self._dialog, ui.card().classes("w-full max-w-3xl gap-2").classes("at-editing"):
            said = (
                str(ids[0]) if len(ids) == 1 else f"{len(ids)} letters" if ids else "all that the filters select"
            )
            ui.label(f"Edit {said} and send back").classes("text-lg font-bold")
            if text:
                self._text = ui.textarea("order", value=text).classes("w-full").props("autogrow input-class=raw")
                work: Callable[[], Edit] = lambda: self._tools.editing([], edited(self._text.value))  # noqa: E731
            else:
                self._set = ui.input("FIELD=EXPRESSION", placeholder="price=abs(price)").classes("w-full")
                work = lambda: self._tools.editing([self._set.value or ""])  # noqa: E731
            self._shown = ui.column().classes("w-full gap-1").classes("at-preview")
            with ui.row():
                ui.button("Preview", on_click=lambda: self._preview(work)).props("outline")
                ui.button("Send", on_click=lambda: self._send(work))
                ui.button("Close", on_click=self._dialog.close).props("flat")
        self._dialog.on("hide", self._dialog.delete)
        self._dialog.open()

    async def _preview(self, work: Callable[[], Edit]) -> bool:
        changing = 0
        async with attempt():
            made = work()
            found = await to_thread(self._tools.preview, self._ask.wanted, made, self._ask.options)
            changing = found.changing
            self._shown.clear()
            with self._shown:
                ui.label(f"{changing} would change").classes("font-semibold")
                for name, one in found.samples:
                    raw("\n".join((str(name), *one.fields(), one.bytes())))
                for why, count in found.refused.most_common(5):
                    raw(f"{count} would not: {why}")
        return bool(changing)

    async def _send(self, work: Callable[[], Edit]) -> None:
        if not await self._preview(work):
            return
        async with attempt():
            job = await to_thread(self._tools.edit, self._ask, work())
            self._replays.began(job)
            self._dialog.close()
