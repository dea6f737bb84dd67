"""Replays: asked for with a plan and a prediction, then watched, and cancelled where need be."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import uuid4

from nicegui import ui

from kafka_orders.deadletters.jobs import RUNNING
from kafka_orders.deadletters.replay import Options
from kafka_orders.domain.standing import JobRecord
from kafka_orders.report.model import Report
from kafka_orders.web.page.asking import attempt, raw
from kafka_orders.web.tools import Ask, Tools

#: Jobs shown, the newest first.
_MOST = 5


class Replays:
    """The latest jobs with their progress, and the dialog that begins one."""

    def __init__(self, tools: Tools, operator: str) -> None:
        self._tools, self._operator = tools, operator
        self._shown = ui.column().classes("w-full gap-1").classes("at-jobs")
        self._told: list[JobRecord] = []
        #: Called when a job has begun: what was chosen for it is done with.
        self.then: Callable[[], None] = lambda: None

    def update(self, report: Report) -> None:
        """Show how far jobs have come."""
        running = self._tools.running
        recorded = [running.seen(one) for one in report.jobs if one.action in ("replay", "edit")]
        names = {one.id for one in recorded}
        told = sorted([*recorded, *(one for one in running.failed() if one.id not in names)], key=_newest)[:_MOST]
        if told == self._told:
            return
        self._told = told
        self._shown.clear()
        with self._shown:
            for job in told:
                self._row(job)

    def _row(self, job: JobRecord) -> None:
        done = job.done / job.total if job.total else 1.0 if job.state != RUNNING else 0.0
        with ui.row().classes("w-full items-center gap-3 no-wrap").classes("at-job"):
            ui.label(f"{job.action} {job.id} by {job.author}").classes("about")
            ui.linear_progress(min(1.0, done), show_value=False).classes("w-40")
            said = f"{job.state}: {job.done:,} sent" + (
                f", {job.passed_over:,} passed over" if job.passed_over else ""
            )
            ui.label(said + (f" ({job.reason})" if job.reason else "")).classes("about")
            if job.state == RUNNING:
                ui.button("Cancel", on_click=lambda: self._cancel(job)).props("flat dense color=negative")

    async def _cancel(self, job: JobRecord) -> None:
        async with attempt(f"{job.id} is cancelled; what was sent is committed"):
            await to_thread(self._tools.cancel, job.id, self._operator)

    def began(self, job: JobRecord) -> None:
        """Say that a job has begun."""
        ui.notify(f"{job.action} {job.id} has begun: {job.total:,} letters", type="positive")
        self.then()

    async def ask(self, ask: Ask) -> None:
        """Open the dialog for a replay, with what it would do."""
        async with attempt():
            planned = await to_thread(self._tools.plan, ask.wanted, ask.options)
            request = f"{uuid4().hex}:page"  # pressed twice, it is the same job
            with ui.dialog() as dialog, ui.card().classes("w-full max-w-2xl gap-2").classes("at-replaying"):
                everything = " (no filter: these are all)" if ask.wanted.is_everything else ""
                ui.label(f"Replay {planned.total:,} letters{everything}").classes("text-lg font-bold")
                _counts("to", planned.targets)
                _counts("error", planned.errors)
                _counts("passed over", planned.passed_over)
                foreseen = ui.column().classes("w-full gap-1").classes("at-prediction")
                rate = ui.number("letters a second (0: all at once)", value=0, min=0)
                most = ui.number("at most (0: all)", value=0, min=0)
                reason = ui.input("reason", value=ask.reason).classes("w-full").props("maxlength=1000")

                async def predict() -> None:
                    async with attempt():
                        _, likely = await to_thread(self._tools.predict, ask.wanted, ask.options)
                        foreseen.clear()
                        with foreseen:
                            ui.label(f"{likely.passed:,} would pass now").classes("font-semibold")
                            _counts("would fail", likely.failed)

                async def send() -> None:
                    options = Options(rate=float(rate.value or 0), most=int(most.value or 0))
                    async with attempt():
                        told = replace(ask, options=options, reason=reason.value or "", request=request)
                        self.began(await to_thread(self._tools.replay, told))
                        dialog.close()

                with ui.row():
                    ui.button("Predict", on_click=predict).props("outline")
                    ui.button("Send", on_click=send)
                    ui.button("Close", on_click=dialog.close).props("flat")
            dialog.on("hide", dialog.delete)
            dialog.open()


def _newest(job: JobRecord) -> tuple[bool, int]:
    """Sort those that run first, then the newest: a job's name begins with its time."""
    return job.state != RUNNING, -int(job.id[:13].replace("-", ""))


def _counts(what: str, counts: Mapping[str, int]) -> None:
    for name, count in sorted(counts.items(), key=lambda one: -one[1])[:5]:
        raw(f"{count:,} {what} {name}")
