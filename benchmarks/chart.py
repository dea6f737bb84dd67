"""docs/benchmarks.svg: medians of orders per second as bars, legible on light and dark pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks import figures
from benchmarks.contenders import ALL, AT_LEAST, EXACTLY, OURS, Contender

_SERIES = {"kafka-orders": "#0b7a75", EXACTLY: "#d98324", AT_LEAST: "#8a8d91"}
#: The chart brings its own ground, so that its text is legible wherever it is shown.
_CSS = """
#chart .guide.line { display: none; }
#chart text { fill: #1f2328 !important; font-family: sans-serif; }
@media (prefers-color-scheme: dark) {
#chart { background-color: #0d1117; }
#chart .background { fill: #0d1117 !important; }
#chart text { fill: #e6edf3 !important; }
#chart .axis .line, #chart .axis .guide.line { stroke: #8b949e !important; }
}
"""


def render(found: Mapping[str, Any]) -> str:
    """Return the chart as SVG: the same bytes for the same figures."""
    import pygal  # noqa: PLC0415  only where a chart is drawn
    from pygal.etree import etree  # noqa: PLC0415
    from pygal.style import Style  # noqa: PLC0415

    etree.to_etree()  # not lxml, where that happens to be installed: it sets other blanks
    shown = _shown(found)
    style = Style(colors=tuple(_SERIES.values()), background="#ffffff", plot_background="#ffffff",
                  font_family="sans-serif", label_font_size=13, legend_font_size=14, title_font_size=17,
                  value_font_size=12)  # fmt: skip
    chart = pygal.HorizontalStackedBar(
        style=style, width=980, height=60 + 34 * (len(shown) + 2), explicit_size=True, print_values=True,
        print_values_position="top", js=[], disable_xml_declaration=True, legend_at_bottom=True,
        title=f"orders per second, median of {len(found['rounds'])} rounds", show_x_labels=False,
        margin_right=70,
        truncate_label=-1, truncate_legend=-1, spacing=14, rounded_bars=2,
        value_formatter=lambda value: f"{value:,.0f}" if value else "",
    )  # fmt: skip
    chart.x_labels = [one.title.replace("*", "").replace("`", "") for one, _ in shown]
    for series in _SERIES:
        chart.add(series, [rate if _series(one) == series else None for one, rate in shown])
    return _tidied(chart.render(is_unicode=True))


def _shown(found: Mapping[str, Any]) -> list[tuple[Contender, float]]:
    """Return who is in the chart, the fastest last: it is drawn upwards. Yardsticks would dwarf the others."""
    held = [(one, figures.figure(found["rounds"], one.name, figures.rate)) for one in ALL if not one.is_reference]
    rates = [(one, figure.median) for one, figure in held if figure and not one.name.startswith("ours-")]
    return sorted(rates, key=lambda pair: pair[1])


def _series(one: Contender) -> str:
    return "kafka-orders" if one.name == OURS else one.guarantee


def _tidied(svg: str) -> str:
    """Return the SVG without scripts, without what differs from run to run, and with our colours of text."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<script.*?</script>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"chart-[0-9a-f]{8}-[0-9a-f-]{27}", "chart", svg)
    svg = svg.replace("</style>", f"{_CSS}</style>", 1)
    return re.sub(r"\s*\n\s*", "\n", svg).strip() + "\n"
