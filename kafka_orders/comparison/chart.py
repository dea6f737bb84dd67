"""The comparison as a picture: bytes per order, and time per order as ratios. PNG or SVG, by the file's ending."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kafka_orders.comparison.compare import Comparison, Rows
from kafka_orders.domain.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".svg", ".png")
#: What is drawn, how it is called, and its colour.
_BYTES = {
    "value": ("value", "#0b7a75"), "head": ("what tells its format", "#d98324"),
    "stored none": ("on disk", "#5b5f66"), "stored lz4": ("on disk, lz4", "#8a8d91"),
    "stored zstd": ("on disk, zstd", "#b9bcc0"),
}  # fmt: skip
_TIMES = {"write": ("to write", "#3b5bdb"), "read": ("to read", "#a23b72")}


def require_matplotlib() -> None:
    """Refuse to begin where no chart could be drawn.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise SettingsError("a chart needs matplotlib: pip install 'kafka-orders[chart]'")


def draw(found: Comparison, file: Path) -> None:
    """Write the chart; the same bytes for the same figures.

    Raises:
        SettingsError: the file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415  an extra, and half a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 5.2), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    _bars(left, found.sizes, _BYTES, "{:.0f}")
    left.set_title("bytes per order")
    _bars(right, found.sizes, _TIMES, "{:.1f}")
    right.set_title(f"time per order, as a multiple of {found.about['first']}'s")
    figure.suptitle(f"{found.about['orders']:,} orders in each format", fontsize=13)
    with mpl.rc_context({"svg.hashsalt": "kafka-orders", "svg.fonttype": "path"}):
        try:
            figure.savefig(file, dpi=130, metadata={"Date": None} if file.suffix == ".svg" else None)
        except OSError as error:
            raise SettingsError(f"--chart {file} cannot be written: {error.strerror or error}") from error


def _bars(axes: Axes, rows: Rows, drawn: Mapping[str, tuple[str, str]], label: str) -> None:
    """Draw a group of bars for each way, the first on top; with their range, where there is one."""
    names = [name for name in drawn if name in rows[0]]
    thick = 0.8 / len(names)
    for at, name in enumerate(names):
        called, colour = drawn[name]
        places = [number + at * thick for number in range(len(rows))]
        values = [row[name] for row in rows]
        ranges = [[abs(row[name] - row.get(f"{name} {end}", row[name])) for row in rows] for end in ("from", "to")]
        bars = axes.barh(places, values, thick * 0.92, label=called, color=colour, xerr=ranges,
                         error_kw={"ecolor": "#1f2328", "elinewidth": 0.8})  # fmt: skip
        axes.bar_label(bars, [label.format(value) for value in values], padding=3, fontsize=7.5)
    axes.set_yticks([number + 0.4 - thick / 2 for number in range(len(rows))], [row["way"] for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    # Below: anywhere inside, bars of somebody's own schema may lie under it.
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=len(names))
