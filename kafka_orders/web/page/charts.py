"""The charts: running average per product, throughput, lag, all over the same time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from nicegui import ui

from kafka_orders.report.model import Report, Sample

#: Points of a line, products with a line of their own, reports between two drawings.
_POINTS = 150
_LINES = 8
_EVERY = 2
#: Told apart by everyone (Okabe and Ito), and by their symbols where there is no colour.
#: Readable on light and on dark.
_TEXT = "#7a7a7a"
_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442"]
_SYMBOLS = ["circle", "rect", "triangle", "diamond", "pin", "arrow", "roundRect", "emptyCircle"]


class Charts:
    """Three charts, drawn again every other second."""

    def __init__(self) -> None:
        self._looks, self._lag = -1, list[tuple[int, int, int]]()
        with ui.element("div").classes("charts"):
            self._averages = _chart("Running average per product", "averages")
            self._throughput = _chart("Orders per second", "throughput")
            self._unread = _chart("Unread and waiting", "lag")

    def update(self, report: Report) -> None:
        """Draw what a report says."""
        unread = sum(one.lag for one in report.lag if one.topic == report.lag[0].topic)
        self._lag = [*self._lag, (report.at_ms, unread, report.flow.waiting)][-_POINTS:]
        self._looks += 1
        if self._looks % _EVERY:
            return
        samples = _thinned(report.history)
        names = [one.product for one in sorted(report.products, key=lambda one: -one.count)[:_LINES]]
        averages = {name: [(one.at_ms, one.averages.get(name)) for one in samples] for name in sorted(names)}
        _draw(self._averages, averages or {"all": [(one.at_ms, one.overall) for one in samples]})
        _draw(self._throughput, {
            "counted": _speeds([(one.at_ms, one.counted) for one in samples]),
            "failed": _speeds([(one.at_ms, one.retried + one.dead) for one in samples]),
        }, stepped=True)  # fmt: skip
        _draw(self._unread, {
            "unread": [(at, count) for at, count, _ in self._lag],
            "waiting": [(at, count) for at, _, count in self._lag],
        })  # fmt: skip


def _thinned(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Return at most so many samples as points can be seen, the newest among them."""
    step = -(-len(samples) // _POINTS) or 1
    return samples[::-1][::step][::-1]


def _speeds(counts: list[tuple[int, int]]) -> list[tuple[int, float | None]]:
    pairs = pairwise(counts)
    return [(at, round(max(0, new - old) * 1000 / max(1, at - was), 1)) for (was, old), (at, new) in pairs]


def _chart(title: str, mark: str) -> ui.echart:
    axis = {
        "type": "value",
        "scale": True,
        "axisLabel": {"color": _TEXT},
        "splitLine": {"lineStyle": {"opacity": 0.25}},
    }
    return (
        ui.echart({
            "animation": False,
            "textStyle": {"color": _TEXT},
            "title": {"text": title, "textStyle": {"fontSize": 15, "color": _TEXT}},
            "aria": {"enabled": True, "description": title},
            "color": _COLOURS,
            "legend": {"top": 24, "type": "scroll", "textStyle": {"color": _TEXT}},
            "grid": {"left": 8, "right": 16, "top": 56, "bottom": 8, "containLabel": True},
            "tooltip": {"trigger": "axis", "renderMode": "richText"},
            "xAxis": {"type": "time", "axisLabel": {"hideOverlap": True, "color": _TEXT}},
            "yAxis": axis,
            "series": [],
        })
        .classes("w-full h-64")
        .classes(f"at-chart-{mark}")
    )  # fmt: skip


def _draw(chart: ui.echart, lines: dict[str, Any], *, stepped: bool = False) -> None:
    chart.options["series"] = [
        {
            "name": name, "type": "line", "data": points, "showSymbol": len(points) < 3,
            "symbol": _SYMBOLS[number % len(_SYMBOLS)], "lineStyle": {"width": 2},
            "step": "end" if stepped else False,
        }
        for number, (name, points) in enumerate(lines.items())
    ]  # fmt: skip
    chart.update()
