"""Dead letters: filtered, page by page, chosen, and what to do about the chosen ones."""

from __future__ import annotations

import time
from asyncio import to_thread
from typing import Any

from nicegui import ui

from kafka_orders.deadletters.pages import Page
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.deadletters.telling import journey_told, letter_row
from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.standing import DISCARDED, OPEN, STATUSES, LetterId
from kafka_orders.report.model import Report
from kafka_orders.web.page.asking import attempt
from kafka_orders.web.page.detail import show_letter
from kafka_orders.web.page.editing import Editing
from kafka_orders.web.page.replays import Replays
from kafka_orders.web.shapes import Filter
from kafka_orders.web.tools import Ask, Tools

_NAMES = ("failed_at", "product", "key", "error_class", "error", "retries", "replays", "status", "id")
_PAGE = 25


class Letters:
    """The table of dead letters. It is read when asked for: a page is what an operator looks at."""

    def __init__(self, tools: Tools, replays: Replays, operator: str) -> None:
        self._tools, self._replays, self._operator = tools, replays, operator
        self._group, self._cursor, self._is_first = "", "", True
        self._ended: dict[str, int] = {}
        self._looking = False

    def build(self) -> None:
        """Make the filters, the table and the buttons."""
        with ui.row().classes("items-end gap-2 w-full"):
            self._status = ui.select(["any", *STATUSES], value=OPEN, label="status").classes("w-32")
            self._product = ui.input("product").classes("w-32")
            self._match = ui.input("text in error or order").classes("w-56")
            self._header = ui.input("header name=value").classes("w-44")
            self._since = ui.input("since (2h, 7d, ISO)").classes("w-40")
            ui.button("Find", on_click=self.find)
            self._about = ui.label().classes("about").classes("at-about-letters")
        columns = [{"name": name, "label": name, "field": name, "align": "left"} for name in _NAMES]
        self._table = ui.table(rows=[], columns=columns, row_key="id", selection="multiple", pagination=0)
        self._table.classes("w-full").props("dense flat bordered hide-bottom").classes("at-table-letters")
        self._table.on("row-click", self._clicked)
        with ui.row().classes("items-center gap-2"):
            ui.button("Show", on_click=self._show).props("outline")
            ui.button("Replay ...", on_click=self._replay)
            ui.button("Edit ...", on_click=self._edit).props("outline")
            self._reason = ui.input("reason").classes("w-56").props("maxlength=1000")
            ui.button("Discard", color="negative", on_click=self._discard).props("outline")
            ui.button("Restore", on_click=self._restore).props("outline")
            ui.space()
            ui.button("Older", on_click=self._older).props("flat")
        self._replays.then = self._chose_none
        ui.timer(0.1, self.find, once=True)

    def _chose_none(self) -> None:
        self._table.selected = []

    def update(self, report: Report) -> None:
        """Say how many there are; the table stays until somebody asks again."""
        statuses = ", ".join(f"{count:,} {name}" for name, count in report.letters.statuses.items())
        told = f"{report.letters.total:,} dead letters: {statuses}"
        self._about.set_text(told if statuses else "no dead letters")
        ended = {name: count for name, count in report.letters.statuses.items() if name != OPEN}
        if ended != self._ended and not self._table.selected and self._is_first:
            ui.timer(0.1, self._look_again, once=True)  # what an operator did has had an effect: show it
        self._ended = ended

    async def show_group(self, fingerprint: str) -> None:
        """Show the letters of a group, of all with an empty fingerprint."""
        self._group = fingerprint
        await self.find()

    def _filter(self) -> Filter:
        status = self._status.value
        return Filter(
            groups=[self._group] if self._group else [], statuses=[] if status == "any" else [status],
            product=self._product.value or "", match=self._match.value or "", since=self._since.value or "",
            headers=[self._header.value] if self._header.value else [],
        )  # fmt: skip

    def _selection(self) -> Selection:
        return self._filter().selection(int(time.time() * 1000))

    async def find(self) -> None:
        """Show the newest letters that pass the filters."""
        self._cursor = ""
        await self._load()

    async def _older(self) -> None:
        if not self._cursor:
            ui.notify("there are no older ones")
            return
        await self._load()

    async def _look_again(self) -> None:
        """Load the first page again, but never under somebody's hand who chooses on it."""
        if self._looking:
            return  # one that waits for others' scans is enough
        self._looking = True
        try:
            found, queue = await to_thread(self._tools.page, self._selection(), _PAGE, "")
            if self._is_first and not self._table.selected:
                self._fill(found, queue)
        except (KafkaOrdersError, ValueError):
            return  # nobody asked: who does is told
        finally:
            self._looking = False

    async def _load(self) -> None:
        async with attempt():
            self._is_first = not self._cursor
            self._fill(*await to_thread(self._tools.page, self._selection(), _PAGE, self._cursor))

    def _fill(self, found: Page, queue: Queue) -> None:
        self._table.rows = [_shown(letter_row(one, queue)) for one in found.letters]
        self._table.selected = []
        self._cursor = found.cursor

    def _chosen(self) -> tuple[LetterId, ...]:
        return tuple(LetterId.parse(row["id"]) for row in self._table.selected)

    def _asked(self) -> Ask:
        """Return what is meant: the chosen letters, or all that pass the filters."""
        chosen = self._chosen()
        wanted = Selection(ids=chosen) if chosen else self._selection()
        return Ask(wanted, reason=self._reason.value or "", by=self._operator)

    async def _clicked(self, event: Any) -> None:
        await self._open(LetterId.parse(event.args[1]["id"]))

    async def _show(self) -> None:
        for name in self._chosen()[:1]:
            await self._open(name)

    async def _open(self, name: LetterId) -> None:
        async with attempt():
            found = await to_thread(self._tools.show, name)
            show_letter(journey_told(found))

    async def _replay(self) -> None:
        await self._replays.ask(self._asked())

    async def _edit(self) -> None:
        async with attempt():
            await Editing(self._tools, self._replays, self._asked()).open()

    async def _discard(self) -> None:
        if not (self._reason.value or "").strip():
            ui.notify("a dead letter is given up for a reason: write it beside the button", type="warning")
            return
        await self._mark(DISCARDED)

    async def _restore(self) -> None:
        await self._mark(OPEN)

    async def _mark(self, status: str) -> None:
        if not self._chosen():
            ui.notify("choose letters first", type="warning")
            return
        async with attempt():
            job, passed_over = await to_thread(self._tools.mark, self._asked(), status)
            left = "".join(f"; {count} left: {why}" for why, count in passed_over.items())
            ui.notify(f"{job.done} {'discarded' if status == DISCARDED else 'restored'}{left}", type="positive")
            await self.find()


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    name = row["error_class"].rpartition(".")[2]
    return {**row, "failed_at": (row["failed_at"] or "")[:19], "error_class": name, "error": row["error"][:80]}
