"""The flow of orders, from the producer to their end, with numbers, and with pipes that move as the load does."""

from __future__ import annotations

from nicegui import ui

from kafka_orders.report.model import Band, Report

#: Bands shown; later attempts share the last one.
_MOST_BANDS = 6


class Station:
    """A box with a name, a figure, and a line about it."""

    def __init__(self, name: str, kind: str = "") -> None:
        with ui.element("div").classes(f"station {kind}").classes(f"at-station-{_class(name)}"):
            ui.label(name).classes("font-semibold")
            self._figure = ui.label("0").classes("figure").classes(f"at-figure-{_class(name)}")
            self._about = ui.label().classes("about")

    def show(self, figure: str, about: str = "") -> None:
        """Show a figure and what it is."""
        self._figure.set_text(figure)
        self._about.set_text(about)


class Pipe:
    """A pipe between two stations: still without load, faster with more."""

    def __init__(self, kind: str = "") -> None:
        self._pipe = ui.element("div").classes(f"pipe {kind}").props('aria-hidden="true"')
        self._speed = 0.0

    def show(self, per_second: float) -> None:
        """Show a load."""
        if round(per_second, 1) == self._speed:
            return
        self._speed = round(per_second, 1)
        seconds = max(0.15, min(2.0, 2.0 / (1.0 + per_second) ** 0.35))
        self._pipe.style(f"animation-duration: {seconds:.2f}s")
        moving = self._speed > 0
        self._pipe.classes(add="moving" if moving else "", remove="" if moving else "moving")


class FlowView:
    """Producer, orders, main, retry bands, dead letters; and the averages, which are what it is all for."""

    def __init__(self) -> None:
        with ui.element("div").classes("flow"):
            self._producer = Station("producer")
            self._in = Pipe()
            self._orders = Station("orders")
            self._read = Pipe()
            self._main = Station("main", "good")
            self._failed = Pipe("retry")
            self._retry = Station("retry", "wait")
            self._died = Pipe("dead")
            self._dead = Station("dead letters", "dead")
        self._bands = ui.column().classes("w-full gap-1").classes("at-bands")
        self._rows: list[tuple[ui.label, ui.element, ui.label]] = []
        with ui.element("div").classes("flow"):
            self._overall = Station("running average", "good")
            self._counted = Station("counted exactly once", "good")
            self._latency = Station("order to commit")
            self._lag = Station("unread")

    def update(self, report: Report) -> None:
        """Show what a report says."""
        flow, letters = report.flow, report.letters
        self._producer.show(f"{flow.written_per_second:,.0f}/s", "orders acknowledged")
        self._orders.show(f"{flow.written:,}", "in the topic")
        self._main.show(f"{flow.counted_per_second:,.0f}/s", "counted")
        self._retry.show(f"{flow.waiting:,}", "wait for another try")
        self._dead.show(f"{letters.open:,}", f"open of {letters.total:,}")
        self._in.show(flow.written_per_second)
        self._read.show(flow.counted_per_second + flow.retried_per_second)
        self._failed.show(flow.retried_per_second)
        self._died.show(flow.dead_per_second)
        self._overall.show(f"{report.overall.average:,.2f}", f"{report.product_count:,} products")
        self._counted.show(f"{report.overall.count:,}", "orders")
        p50, p99 = report.latency.p50_ms, report.latency.p99_ms
        self._latency.show("-" if p50 is None else f"{p50:,.0f} ms", "" if p99 is None else f"p99 {p99:,.0f} ms")
        unread = sum(one.lag for one in report.lag if one.topic == report.lag[0].topic)
        oldest = max((one.seconds or 0.0 for one in report.lag if one.topic == report.lag[0].topic), default=0.0)
        self._lag.show(f"{unread:,}", f"the oldest for {oldest:.0f} s" if unread else "main is up to date")
        self._show_bands(report)

    def _show_bands(self, report: Report) -> None:
        bands = report.bands[:_MOST_BANDS]
        while len(self._rows) < len(bands):
            with self._bands, ui.row().classes("w-full items-center gap-3 no-wrap"):
                name = ui.label().classes("about w-24")
                bar = ui.element("div").classes("bar").props('aria-hidden="true"')
                self._rows.append((name, bar, ui.label().classes("about").classes("at-countdown")))
        most = max((one.waiting for one in bands), default=1)
        for number, (name, bar, about) in enumerate(self._rows):
            shown = number < len(bands)
            for one in (name, bar, about):
                one.set_visibility(shown)
            if shown:
                band = bands[number]
                name.set_text(f"retry {band.attempt}" if band.attempt else "replays")
                bar.style(f"width: {30 * band.waiting / most:.1f}%")
                about.set_text(_countdown(band, report.at_ms))


def _class(name: str) -> str:
    return name.replace(" ", "-")


def _countdown(band: Band, now_ms: int) -> str:
    seconds = max(0.0, ((band.next_due_ms or now_ms) - now_ms) / 1000)
    return f"{band.waiting:,} wait, " + (f"{band.due:,} are due" if band.due else f"the next in {seconds:.1f} s")
