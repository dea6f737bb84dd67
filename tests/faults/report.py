"""The report of a campaign: `python -m tests.faults.report` writes docs/fault-campaign.md from its runs."""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import confluent_kafka
import psutil

from tests.faults.campaign import FAULTS, load_results, summary, totals_of
from tests.faults.scenarios import load
from tests.support.pipeline import ROOT

Outcomes = dict[str, dict[str, Any]]

_HEAD = (
    "<!-- Made from the runs of `make faults` by `python -m tests.faults.report`. -->\n# The last fault campaign\n"
)
_COLUMNS = """\
What the columns mean: *in a transaction* are faults that met an open transaction, as the roles themselves told;
*drain* is the longest time from the last fault, or the end of production where that was later, until every order
had its outcome; what a stop or a restart of brokers takes is in it.
The invariants stand in [tests/faults/checker.py](../tests/faults/checker.py), what is promised in
[guarantees.md](guarantees.md).
"""
_TABLE = """\
| scenario | runs | kills | faults | in a transaction | orders | counted | dead | lost | doubled | drain |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""
_FIGURES = ("orders", "counted", "dead", "lost", "doubled")


def render(done: Outcomes, mutants: str, note: str) -> str:
    """Return the page."""
    runs = list(done.values())
    hours = sum(one["seconds"] for one in runs) / 3600
    times = [one["at"] for one in runs]
    parts = [
        _HEAD,
        f"**{summary(totals_of(done))}**\n",
        f"{len(runs)} runs, {hours:.1f} hours of them (several at a time), {min(times)} to {max(times)} UTC,",
        f"{sum(bool(one['problems']) for one in runs)} of them red.",
        f"{machine()}\n",
        *([f"{note}\n"] if note else []),
        _COLUMNS,
        table(runs),
        "\n## What was fired\n",
        *fired(runs),
        "\n## Recovery\n",
        *recovery(runs),
        "\n## Late EndTxn\n",
        *late(runs),
        *red(runs),
        "\n## Mutation checks\n",
        "Each defence taken away, and what a scenario found first (`make mutants`):\n",
        mutants,
    ]
    return "\n".join(parts) + "\n"


def machine() -> str:
    """Return what it ran on."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"Machine: {psutil.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.machine()};"
        f" Python {platform.python_version()}, confluent-kafka {confluent_kafka.version()},"
        f" librdkafka {confluent_kafka.libversion()[0]}, Kafka 4.4.0 of `broker start`; commit {commit}."
    )


def table(runs: list[dict[str, Any]]) -> str:
    """Return one line for each scenario."""
    rows, known = [_TABLE], load()
    for name in sorted({one["scenario"] for one in runs}, key=lambda name: (len(known[name].fault), name)):
        some = [one for one in runs if one["scenario"] == name]
        faults = sum(sum(one["fired"].values()) for one in some)
        figures = [len(some), total(some, "kills"), faults, total(some, "overlapped")]
        figures += [sum(one["report"].get(key, 0) for one in some) for key in _FIGURES]
        drain = max(one["drain_seconds"] for one in some)
        rows.append(f"| {name} | " + " | ".join(f"{one:,}" for one in figures) + f" | {drain:.0f} s |")
    return "\n".join(rows)


def total(runs: Iterable[dict[str, Any]], name: str) -> int:
    """Return the sum of a figure."""
    return sum(one[name] for one in runs)


def fired(runs: list[dict[str, Any]]) -> list[str]:
    """Return a line for each kind of fault; one that never fired says so."""
    lines = []
    for fault, about in FAULTS.items():
        counts: Counter[str] = Counter()
        for one in runs:
            if one["scenario"].split("-")[0] == fault:
                counts.update(one["fired"])
        told = ", ".join(f"{what} {number}" for what, number in sorted(counts.items())) or "**never fired**"
        lines.append(f"- {fault}, {about}: {told}")
    return lines


def recovery(runs: list[dict[str, Any]]) -> list[str]:
    """Return how long partitions stood still after their consumer was killed or stopped."""
    lines = []
    for how, bound in (("SIGKILL", "session timeout 6 s + 3 s"), ("SIGTERM", "1 s")):
        name = f"seconds without progress after {how}"
        stood = sorted(second for one in runs for second in one["notes"].get(name, []))
        if stood:
            median, longest = statistics.median(stood), stood[-1]
            lines.append(
                f"- after {how} of a consumer its partitions stood still for {median:.2f} s in the median"
                f" (bound: {bound}), {longest:.2f} s at most, {len(stood)} partitions"
            )
    return lines


def late(runs: list[dict[str, Any]]) -> list[str]:
    """Return how brokers answered late EndTxn."""
    answers: Counter[str] = Counter()
    for one in runs:
        answers.update(one["notes"].get("answers to late EndTxn", {}))
    names = {"0": "accepted", "47": "refused, INVALID_PRODUCER_EPOCH", "51": "refused, CONCURRENT_TRANSACTIONS"}
    return [f"- {names.get(code, code)}: {number}" for code, number in sorted(answers.items())]


def red(runs: list[dict[str, Any]]) -> list[str]:
    """Return the runs in which something was found."""
    lines = [
        f"- {one['scenario']} seed {one['seed']}: " + "; ".join(one["problems"]).replace("\n", " ")[:300]
        for one in runs
        if one["problems"]
    ]
    return ["\n## Red runs\n", *lines] if lines else []


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / ".build/faults")
    parser.add_argument("--note", default="", help="what else is to be known of these runs")
    parser.add_argument("--mutants", type=Path, help="the output of `make mutants`")
    told = parser.parse_args()
    mutants = told.mutants.read_text() if told.mutants else ""
    shown = "\n".join(line for line in mutants.splitlines() if not line.startswith("..."))
    done = load_results(told.results)
    (ROOT / "docs/fault-campaign.md").write_text(render(done, shown, told.note))
    page = ROOT / "docs/guarantees.md"
    before, _, rest = page.read_text().partition("<!-- campaign -->\n")
    red_runs = sum(bool(one["problems"]) for one in done.values())
    figures = f"**{summary(totals_of(done))}**\n\n{len(done)} runs, {red_runs} of them red.\n\n"
    figures += f"{table(list(done.values()))}\n"
    after = rest.partition("<!-- /campaign -->")[2]
    page.write_text(f"{before}<!-- campaign -->\n{figures}<!-- /campaign -->{after}")


if __name__ == "__main__":
    main()
