"""The campaign: `make faults` runs every scenario, then more of them, until enough was killed and counted.

Each run is a process with a seed of its own and writes its outcome to a file, so a campaign that was interrupted goes
on where it stopped. Pipelines share one broker, each with its own topics and groups; scenarios that strike brokers
have brokers of their own, one such scenario at a time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.faults.run import brokers
from tests.faults.scenarios import Scenario, load
from tests.support.pipeline import ROOT

#: What fills up the figures, over and over: most kills in the least time, on one broker.
_FILL = ("F1-kills-at-random", "F1-kills-at-random", "F1-kills-at-random", "F4-rebalance-storm", "F1-kills-at-points",
         "F1-kills-at-random", "F1-kills-at-random", "F8-late-end-of-transaction", "F12-poison-and-hostile-headers")  # fmt: skip
_RUN_SECONDS = 1500


@dataclass
class Campaign:
    """What is wanted, and what was reached so far."""

    results: Path
    seed: int
    kills: int
    orders: int
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        for file in self.results.glob("*.json"):
            self.done[file.stem] = json.loads(file.read_text())

    @property
    def totals(self) -> Counter[str]:
        """Kills, orders, lost and doubled of all runs."""
        totals: Counter[str] = Counter()
        for one in self.done.values():
            totals["kills"] += one["kills"]
            totals["red"] += bool(one["problems"])
            for name in ("orders", "lost", "doubled"):
                totals[name] += one["report"].get(name, 0)
        return totals

    def plan(self) -> Iterator[tuple[Scenario, int]]:
        """Yield each scenario once, the long ones first, then what fills up until there is enough."""
        known = load()
        for one in sorted(known.values(), key=lambda one: (-one.brokers, one.name)):
            yield one, self.seed
        for number in count(1):
            for name in _FILL:
                if self.totals["kills"] >= self.kills and self.totals["orders"] >= self.orders:
                    return
                yield known[name], self.seed + number * len(_FILL) + len(self.taken)

    def next(self, plans: Iterator[tuple[Scenario, int]], light: bool) -> tuple[Scenario, int] | None:
        """Return what to run next; None when all is done. ``light``: nothing with brokers of its own."""
        with self.lock:
            skipped = []
            for scenario, seed in plans:
                name = f"{scenario.name}-{seed}"
                if name in self.done or name in self.taken:
                    continue
                self.taken.add(name)
                return scenario, seed
            return skipped[0] if skipped else None


def run_one(scenario: Scenario, seed: int, results: Path, bootstrap: str) -> dict[str, Any]:
    """Run a scenario in a process of its own and keep its outcome."""
    name = f"{scenario.name}-{seed}"
    command = [sys.executable, "-m", "tests.faults.run", scenario.name, "--seed", str(seed), "--full"]
    command += ["--folder", str(results / "runs" / name)]
    if not scenario.brokers:
        command += ["--bootstrap", bootstrap]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False)
        outcome: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        outcome = {"scenario": scenario.name, "seed": seed, "kills": 0, "fired": {}, "overlapped": 0, "seconds": 0.0,
                   "report": {}, "notes": {}, "problems": [f"the run itself failed: {error!r}"]}  # fmt: skip
    outcome["at"] = time.strftime("%Y-%m-%d %H:%M")
    (results / f"{name}.json").write_text(json.dumps(outcome, indent=1))
    return outcome


def work(campaign: Campaign, plans: Iterator[tuple[Scenario, int]], bootstrap: str, quiet: bool) -> None:
    """Run one scenario after the other."""
    while (chosen := campaign.next(plans, False)) is not None:
        outcome = run_one(*chosen, campaign.results, bootstrap)
        with campaign.lock:
            campaign.done[f"{chosen[0].name}-{chosen[1]}"] = outcome
            if not quiet or outcome["problems"]:
                print(line(outcome, campaign), flush=True)


def line(outcome: dict[str, Any], campaign: Campaign) -> str:
    """Return one line about a run, and the totals after it."""
    report, totals = outcome["report"], campaign.totals
    verdict = "RED " + "; ".join(outcome["problems"])[:300] if outcome["problems"] else "ok"
    return (
        f"{outcome['scenario']} seed {outcome['seed']}: {outcome['kills']} kills, {sum(outcome['fired'].values())} faults,"
        f" {outcome['overlapped']} in a transaction, {report.get('orders', 0):,} orders, {report.get('lost', '?')} lost,"
        f" {report.get('doubled', '?')} doubled, {outcome['seconds']:.0f} s: {verdict}"
        f"   [{totals['kills']:,} of {campaign.kills:,} kills, {totals['orders']:,} of {campaign.orders:,} orders]"
    )


def main() -> None:
    """Run the campaign; exit 1 where a run is red."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--lanes", type=int, default=3, help="scenarios at the same time")
    parser.add_argument(
        "--results", type=Path, default=ROOT / ".build/faults", help="an interrupted campaign goes on here"
    )
    parser.add_argument("--quiet", action="store_true", help="only red runs and the last line")
    told = parser.parse_args()
    campaign = Campaign(told.results, told.seed, told.kills, told.orders)
    print(f"seed {told.seed}; {len(campaign.done)} runs are done already, in {told.results}", flush=True)
    plans = campaign.plan()
    with brokers(told.results / "home", 1) as cluster, ThreadPoolExecutor(told.lanes) as pool:
        status = cluster.status()
        assert status is not None
        lanes = [
            pool.submit(work, campaign, plans, status.bootstrap_servers, told.quiet) for _ in range(told.lanes)
        ]
        for lane in lanes:
            lane.result()
    totals = campaign.totals
    print(
        f"{totals['kills']:,} kills, {totals['orders']:,} orders, {totals['lost']:,} lost, {totals['doubled']:,} doubled"
    )
    sys.exit(1 if totals["red"] else 0)


if __name__ == "__main__":
    main()
