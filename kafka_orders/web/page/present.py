"""The stage: what a presenter turns, kills, slows and proves; with captions for the story of the demo."""

from __future__ import annotations

from asyncio import to_thread
from math import log

from nicegui import ui

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.pipeline.produce import PRODUCTS
from kafka_orders.stage.cues import Actor, StageState
from kafka_orders.views.verify import Verdict, verify
from kafka_orders.web.page.asking import attempt, raw
from kafka_orders.web.page.knob import knob
from kafka_orders.web.staging import Stage
from kafka_orders.web.tools import Tools

#: The story, step by step: what to say, and what to press.
CAPTIONS = (
    "Orders come in as Avro. The main consumer keeps the running average of their prices, exactly once.",
    "Let Item3 fail: move its slider up. Failed orders wait 2, 4 and 8 seconds, each in a band of its own.",
    "After three retries an order is a dead letter: see what died, and why, under Dead letters.",
    "Kill the main consumer. Nothing is lost: what was not committed is handled again by whoever comes next.",
    "Start it again. It restores its state from Kafka and goes on; no order is counted twice.",
    "Kill the broker. Everything waits; start it, and everything goes on.",
    "Let Item3 heal: move its slider down. Replay its dead letters, and watch them turn resolved.",
    "Prove it: every order is recomputed and found once, counted or dead.",
)
_SLOW_MS = 50
_MOST_RATE = 20_000.0
_LOOK_SECONDS = 0.5
_SAID = {True: "It holds", False: "It does not hold"}


class Present:
    """Sliders, buttons, proof and captions."""

    def __init__(self, stage: Stage, tools: Tools, operator: str) -> None:
        self._stage, self._tools, self._operator = stage, tools, operator
        self._step, self._told = 0, StageState()
        with ui.row().classes("w-full items-center no-wrap gap-2").classes("at-captions"):
            ui.button("<", on_click=lambda: self._go(-1)).props('flat aria-label="step back"')
            self._caption = ui.label().classes("caption").props('role="status"')
            ui.button(">", on_click=lambda: self._go(+1)).props('flat aria-label="next step"')
        ui.keyboard(self._pressed)
        with ui.row().classes("w-full gap-6 items-start"):
            self._knobs()
            with ui.column().classes("gap-1"):
                ui.label("Workers").classes("font-semibold")
                self._actors = ui.column().classes("gap-1").classes("at-actors")
                with ui.row():
                    ui.button("Add main", on_click=lambda: self._do("add", "main")).props("outline dense")
                    ui.button("Add retry", on_click=lambda: self._do("add", "retry")).props("outline dense")
                with ui.row() as self._broker:
                    kill = ui.button("Kill broker", color="negative", on_click=lambda: self._do("broker", "kill"))
                    kill.props("outline dense")
                    ui.button("Start broker", on_click=lambda: self._do("broker", "start")).props("outline dense")
        with ui.row().classes("items-center gap-3"):
            self._prove_button = ui.button("Prove it", on_click=self._prove)
            self._busy = ui.spinner(size="1.5em")
        self._busy.set_visibility(False)
        self._verdict = ui.column().classes("w-full gap-1").classes("at-verdict")
        self._go(0)
        ui.timer(_LOOK_SECONDS, self._look)

    def build_log(self) -> None:
        """Make the place where what was done is told, below what it does."""
        self._log = ui.column().classes("gap-0 about").classes("at-stage-log")

    def _knobs(self) -> None:
        with ui.column().classes("gap-1 min-w-80"):
            ui.label("Orders a second").classes("font-semibold")
            self._rate_shown = ui.label("1").classes("about")
            self._rate = knob("orders a second", lambda told: self._do("rate", _rate_of(told)))
            ui.label("Share that fails").classes("font-semibold")
            self._fails = {}
            for product in PRODUCTS:
                with ui.row().classes("w-full items-center no-wrap gap-3"):
                    ui.label(product).classes("w-14")
                    self._fails[product] = knob(
                        f"share of {product} that fails",
                        lambda told, product=product: self._do("fail", product, told / 100),  # type: ignore[misc]
                    )

    def _go(self, steps: int) -> None:
        self._step = max(0, min(len(CAPTIONS) - 1, self._step + steps))
        self._caption.set_text(f"{self._step + 1}/{len(CAPTIONS)}  {CAPTIONS[self._step]}")

    def _pressed(self, event: object) -> None:
        key, action = getattr(event, "key", None), getattr(event, "action", None)
        if key is not None and action is not None and action.keydown and not action.repeat:
            self._go(bool(key.page_down) - bool(key.page_up))

    async def _do(self, action: str, *told: str | float) -> None:
        async with attempt():
            self._tools.check_writable()
            done = await to_thread(self._stage.do, action, *told)
            if action not in ("rate", "fail"):
                ui.notify(done)
                await to_thread(self._audit, action, done)

    def _audit(self, action: str, done: str) -> None:
        try:
            self._tools.audit(f"stage {action}", done, self._operator)
        except KafkaOrdersError:
            return  # no broker, because it was just killed: its own end is in no topic

    async def _look(self) -> None:
        try:
            state = await to_thread(self._stage.state)
        except KafkaOrdersError:
            return  # `up` has ended, and this page ends with it
        self._stand(state)
        if state == self._told:
            return
        self._told = state
        self._rate_shown.set_text(f"{state.rate:g}")
        self._broker.set_visibility(state.broker is not None)
        self._actors.clear()
        with self._actors:
            for actor in state.actors:
                self._row(actor)
        self._log.clear()
        with self._log:
            for said in state.log[:5]:
                raw(said)

    def _stand(self, state: StageState) -> None:
        """Bring the sliders to where the knobs stand."""
        self._rate.stand(_place_of(state.rate))
        for product, share in self._fails.items():
            share.stand(100 * state.fails.get(product, 0.0))

    def _row(self, actor: Actor) -> None:
        with ui.row().classes("items-center gap-2 no-wrap").classes(f"at-actor-{actor.name}"):
            ui.label(actor.name).classes("w-20 font-medium")
            ui.label(f"runs, pid {actor.pid}" if actor.running else "dead").classes("about w-28")
            if not actor.running:
                ui.button("Start", on_click=lambda: self._do("start", actor.name)).props("dense")
                return
            kill = ui.button("Kill", color="negative", on_click=lambda: self._do("kill", actor.name))
            kill.props("outline dense")
            if actor.verb in ("main", "retry"):
                slow = 0 if actor.slow_ms else _SLOW_MS
                label = f"Normal (now {actor.slow_ms} ms an order)" if actor.slow_ms else "Slow"
                ui.button(label, on_click=lambda: self._do("slow", actor.name, slow)).props("outline dense")

    async def _prove(self) -> None:
        self._prove_button.disable()
        self._busy.set_visibility(True)
        try:
            async with attempt():
                verdict = await to_thread(self._verified)
                if verdict is not None:
                    self._tell(verdict)
        finally:
            self._busy.set_visibility(False)
            self._prove_button.enable()

    def _verified(self) -> Verdict:
        job = self._tools.job
        return verify(self._tools.settings, job.decode, deep=True, contract=job.contract)

    def _tell(self, verdict: Verdict) -> None:
        self._verdict.clear()
        with self._verdict:
            kind = "positive" if verdict.holds else "negative"
            ui.label(_SAID[verdict.holds]).classes(f"text-2xl font-bold text-{kind}")
            raw(verdict.sentence, "verdict-sentence")
            for finding in verdict.findings[:10]:
                raw(f"- {finding}")


def _place_of(rate: float) -> float:
    """Return the slider's place of a rate."""
    return max(0.0, 100 * log(max(rate, 1.0)) / log(_MOST_RATE))


def _rate_of(place: float) -> float:
    """Return the rate of a slider's place: each tenth of the way about trebles it, up to 20,000 a second."""
    return float(round(_MOST_RATE ** (place / 100), 1))
