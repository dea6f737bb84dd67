"""docs/benchmarks.md: what stands between two marks is rendered from the JSON, the rest is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import figures, record
from benchmarks.contenders import ALL, BY_NAME, FORMATS, NONE, OURS, RAW, Contender
from benchmarks.figures import Figure

BEGIN, END = "<!-- begin: made by make bench-page -->", "<!-- end -->"
_EMPTY = f"# Benchmarks\n\n{BEGIN}\n{END}\n"

_CAVEATS = """\
- Broker and contenders share the cores of one machine. Absolute figures follow the machine of the moment;
  what holds are ratios within one run. They are computed round by round, then the median is taken, with the
  range behind it.
- The clock of each contender runs from the first record that its client delivered to the return of its last
  commit. Starting, joining the group and reading state are before it, for all. A JVM works through up to
  300,000 orders before, in a group of its own.
- Every run is checked: orders counted, sum of their prices, failures told, records in the failures topic and
  committed offsets must be those of the orders topic, or the run is an error.
- The guarantees differ, and so does the work. Counts and sums stand in Kafka, written in the same
  transaction, with kafka-orders, the Java loop, Kafka Streams and Quix Streams; the others, aiokafka in
  transactions too, keep them in memory alone.
- "CPU" is that of the client's process per order, without the broker; "app thread" that of the thread with
  the loop. On more cores than these, a client that spreads its work over threads gains more."""


def render(measured: Mapping[str, Any], page: str) -> str:
    """Return the page with its generated part renewed; what is written by hand around it stays."""
    if BEGIN not in page:
        page = _EMPTY
    before, _, rest = page.partition(BEGIN)
    parts = []
    if "throughput" in measured:
        parts.append(_throughput(measured["throughput"]))
    if "formats" in measured:
        parts.append(_formats(measured["formats"]))
    if "latency" in measured:
        parts.append(_latency(measured["latency"]))
    return f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{rest.partition(END)[2]}"


def _throughput(found: Mapping[str, Any]) -> str:
    rounds = found["rounds"]
    chart = f"![orders per second of each contender]({record.CHART.name})"
    job = (
        f"The job, the same for all: consume {found['orders']:,} Avro orders from {found['partitions']}"
        " partitions, decode each, count and sum the prices of each product, send the 1 % that fail to a topic,"
        f" keep the offsets. Rounds: {len(rounds)}, on one broker, each contender once a round in a process of its"
        " own, in rotated order."
    )
    seen = [one for one in ALL if any(one.name in measures for measures in rounds)]
    return "\n\n".join(
        [
            "## Throughput", job, chart, table(rounds), _wins(rounds), _settings(seen, found), _errors(found),
            "### How to read this", _CAVEATS, _surroundings(found),
        ]
    ).replace("\n\n\n\n", "\n\n")  # fmt: skip


def _formats(found: Mapping[str, Any]) -> str:
    rounds = found["rounds"]
    lines = ["| | orders/s | of the rate with Avro | app thread µs |", "|---|---|---|---|"]
    present = [one for one in (BY_NAME[OURS], *FORMATS) if figures.figure(rounds, one.name, figures.rate)]
    for one in present:
        cells = [
            one.title if one.name != OURS else "**Avro** (default)",
            _shown(figures.figure(rounds, one.name, figures.rate), ",.0f"),
            _shown(figures.ratio(rounds, one.name, OURS, figures.rate), ".2f") if one.name != OURS else "1",
            _short(rounds, one, figures.thread_cpu, ".2f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    job = (
        f"The same job with {found['orders']:,} orders of each format, {len(rounds)} rounds of their own;"
        " [formats](howto/formats.md) says how they are told apart. JSON and Protobuf pay for their headers, too."
    )
    if any(one.framed for one in present):
        job += (
            " Framed orders, by a real schema registry on the same machine, have no such header, but a frame; the"
            " registry is asked for the schema once, in the time that is measured."
        )
    return "\n\n".join(["## Formats", job, "\n".join(lines), _errors(found), _surroundings(found)])


def table(rounds: list[Any]) -> str:
    """Return the table of medians and ranges, the fastest first within each guarantee."""
    lines = [
        "| | guarantee | orders/s | of the raw loop | kafka-orders is | CPU µs | app thread µs | memory MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    present = [one for one in (*ALL, *FORMATS) if figures.figure(rounds, one.name, figures.rate)]
    for one in sorted(present, key=lambda one: -_median(rounds, one)):
        rate = figures.figure(rounds, one.name, figures.rate)
        of_raw = figures.ratio(rounds, one.name, RAW, figures.rate)
        times = figures.ratio(rounds, OURS, one.name, figures.rate) if one.name != OURS else None
        cells = [
            one.title,
            one.guarantee,
            _shown(rate, ",.0f"),
            _shown(of_raw, ".3f") if one.name != RAW else "1",
            _shown(times, ".2f", "x"),
            _short(rounds, one, figures.process_cpu, ".2f"),
            _short(rounds, one, figures.thread_cpu, ".2f"),
            _short(rounds, one, figures.memory, ".0f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _median(rounds: list[Any], one: Contender) -> float:
    found = figures.figure(rounds, one.name, figures.rate)
    return found.median if found else 0.0


def _shown(found: Figure | None, form: str, unit: str = "") -> str:
    if found is None:
        return "-"
    return f"**{found.median:{form}}**{unit} ({found.least:{form}} to {found.most:{form}})"


def _short(rounds: list[Any], one: Contender, value: Any, form: str) -> str:
    found = figures.figure(rounds, one.name, value)
    return f"{found.median:{form}}" if found and found.median else "-"


def _wins(rounds: list[Any]) -> str:
    """Say where a peer is better than ours, by the same medians."""
    said = []
    peers = [one for one in ALL if one.guarantee != NONE and one.module != "ours"]
    for what, value, more_is_better in (
        ("More orders per second", figures.rate, True),
        ("Less CPU per order", figures.process_cpu, False),
        ("Less memory", figures.memory, False),
    ):
        better = []
        for one in peers:
            ours = figures.ratio(rounds, OURS, one.name, value) if _measured(rounds, one, value) else None
            if ours and (ours.median < 1 if more_is_better else ours.median > 1):
                better.append(f"{one.title} ({1 / ours.median:.2f} times ours)")
        said.append(f"- {what} than kafka-orders: {', '.join(better) if better else 'none of them'}.")
    return "### Where a peer wins\n\n" + "\n".join(said)


def _measured(rounds: list[Any], one: Contender, value: Any) -> bool:
    found = [figures.figure(rounds, name, value) for name in (one.name, OURS)]
    return all(figure is not None and figure.least > 0 for figure in found)


def _settings(seen: list[Contender], found: Mapping[str, Any]) -> str:
    why = "The reasons stand beside each setting in `benchmarks/peers` and `benchmarks/java`."
    lines = ["### Settings of each", "", why, "", "| | settings |", "|---|---|"]
    for one in seen:
        few = f"; on {found['few']:,} orders" if one.few else ""
        lines.append(f"| {one.title} | {one.settings}{few} |")
    return "\n".join(lines)


def _errors(found: Mapping[str, Any]) -> str:
    lines = [f"- {name}: {why}" for name, why in sorted(found["errors"].items())]
    return "\n".join(["### Errors", "", *lines]) if lines else ""


def _latency(found: Mapping[str, Any]) -> str:
    what = (
        "From an order's timestamp, set by our producer as it sends, to the return of the commit that counts it;"
        f" {found['seconds']:g} s at each rate, default settings, every order measured, timestamps in whole ms."
    )
    lines = [
        "## Latency",
        "",
        what,
        "",
        "| orders/s | p50 ms | p95 ms | p99 ms | longest ms | orders |",
        "|---|---|---|---|---|---|",
    ]
    for rate in found["rates"]:
        cells = [f"{rate[name]:,.0f}" for name in ("rate", "p50", "p95", "p99", "max", "orders")]
        lines.append(f"| {' | '.join(cells)} |")
    idle = (
        f"Without orders, the process takes {found['idle_percent']:.2f} % of a core ({found['idle_seconds']:g} s)."
    )
    return "\n".join([*lines, "", idle, "", _surroundings(found)])


def _surroundings(found: Mapping[str, Any]) -> str:
    machine = found["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found["versions"].items()))
    return f"Measured on {found['date']} on {where}. Versions: {versions}."
