"""The campaign: `make faults` runs every scenario, then more of them, until enough was killed and counted.

Each run is a process with a seed of its own and writes its outcome to a file, so a campaign that was interrupted
goes on where it stopped. Pipelines share one broker, each with its own topics and groups; scenarios that strike
brokers have brokers of their own, and come one after the other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.crew import Outcome
from tests.faults.run import brokers
from tests.faults.scenarios import Scenario, load
from tests.support.pipeline import ROOT

#: What fills up the figures, over and over: most kills and orders in the least time, on one broker.
_FILL = (
    "F1-kills-at-random", "F1-kills-at-random", "F4-rebalance-storm", "F1-kills-at-random", "F1-kills-at-points",
    "F1-kills-at-random", "F8-late-end-of-transaction", "F1-kills-at-random", "F12-poison-and-hostile-headers",
)  # fmt: skip
#: No run takes longer than this, in seconds.
_RUN_SECONDS = 1500

Task = tuple[Scenario, int]

#: The faults of the plan, in words.
FAULTS = {
    "F1": "SIGKILL of each role, at random and at named points",
    "F2": "zombies: SIGSTOP past session and transaction timeout, then SIGCONT",
    "F3": "a handler slower than max.poll.interval.ms",
    "F4": "rebalance storms, classic and consumer protocol",
    "F5": "SIGKILL and restart of brokers, 1 of 1 and 1 of 3",
    "F6": "two of three brokers down, then all",
    "F7": "a broker stopped by SIGSTOP",
    "F8": "EndTxn late, in the next transaction",
    "F9": "connections cut, refused, slow and lossy",
    "F10": "the answer to EndTxn lost",
    "F11": "a broker without room, a read-only log directory",
    "F12": "poison and hostile headers under load",
    "F13": "a role whose clock is an hour off",
    "F14": "two processes with one transactional.id",
    "F15": "offsets or state deleted, emptied, of a newer version, not yet stable",
    "F16": "rolling upgrade from the classic to the consumer protocol",
    "F17": "a soak with a random mix of kills, stops, joins, leaves, broker kills and poison",
    "F18": "replays of dead letters killed at random, by two at once, while main and retry are killed, too",
}


@dataclass
class Campaign:
    """What is wanted, what was reached so far, and what comes next."""

    results: Path
    seed: int
    kills: int
    orders: int
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _filled: int = 0

    def __post_init__(self) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        self.done = load_results(self.results)
        known = sorted(load().values(), key=lambda one: one.name)
        self._heavy: list[Task] = [(one, self.seed) for one in known if one.brokers]
        self._light: list[Task] = [(one, self.seed) for one in known if not one.brokers]

    @property
    def totals(self) -> Counter[str]:
        """Kills, orders, lost, doubled and red runs so far."""
        return totals_of(self.done)

    def next(self, *, heavy: bool, only: str = "") -> Task | None:
        """Return what to run next, ``heavy`` ones first where they are wanted; None when there is enough."""
        with self.lock:
            if only:
                tasks = [task for task in self._light if task[0].name == only and name_of(task) not in self.done]
                self._light = [task for task in self._light if task[0].name != only]
                return tasks[0] if tasks else None
            for tasks in (self._heavy, self._light) if heavy else (self._light,):
                while tasks:
                    task = tasks.pop(0)
                    if name_of(task) not in self.done:
                        return task
            totals = self.totals
            while totals["kills"] < self.kills or totals["orders"] < self.orders:
                self._filled += 1
                task = (load()[_FILL[self._filled % len(_FILL)]], self.seed + self._filled)
                if name_of(task) not in self.done:
                    return task
            return None

    def note(self, task: Task, outcome: dict[str, Any]) -> None:
        """Keep an outcome."""
        with self.lock:
            self.done[name_of(task)] = outcome
            (self.results / f"{name_of(task)}.json").write_text(json.dumps(outcome, indent=1))


def name_of(task: Task) -> str:
    """Return the name of a run."""
    return f"{task[0].name}-{task[1]}"


def load_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the outcomes of a folder, by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}


def totals_of(done: dict[str, dict[str, Any]]) -> Counter[str]:
    """Return kills, orders, lost, doubled and red runs."""
    totals: Counter[str] = Counter()
    for one in done.values():
        totals["kills"] += one["kills"]
        totals["red"] += bool(one["problems"])
        for name in ("orders", "lost", "doubled"):
            totals[name] += one["report"].get(name, 0)
    return totals


def summary(totals: Counter[str]) -> str:
    """Return a campaign in one line."""
    return (
        f"{totals['kills']:,} kills, {totals['orders']:,} orders,"
        f" {totals['lost']:,} lost, {totals['doubled']:,} doubled"
    )


def run_one(task: Task, results: Path, bootstrap: str) -> dict[str, Any]:
    """Run a scenario in a process of its own."""
    scenario, seed = task
    command = [sys.executable, "-m", "tests.faults.run", scenario.name, "--seed", str(seed), "--full"]
    command += ["--folder", str(results / "runs" / name_of(task))]
    if not scenario.brokers:
        command += ["--bootstrap", bootstrap]
    at = time.strftime("%Y-%m-%d %H:%M")
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False)
        outcome: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        outcome = asdict(Outcome(scenario.name, seed, problems=[f"the run failed: {error!r}"]))
    return {**outcome, "at": at}


def work(campaign: Campaign, bootstrap: str, *, heavy: bool, quiet: bool, first: str = "") -> None:
    """Run one scenario after the other; or only the ``first``, which is to have the machine for itself."""
    while (task := campaign.next(heavy=heavy, only=first)) is not None:
        if not quiet:
            print(f"... {name_of(task)}", flush=True)
        outcome = run_one(task, campaign.results, bootstrap)
        campaign.note(task, outcome)
        if not quiet or outcome["problems"]:
            print(line(outcome, campaign), flush=True)


def line(outcome: dict[str, Any], campaign: Campaign) -> str:
    """Return one line about a run, and how far the campaign is."""
    report, totals = outcome["report"], campaign.totals
    verdict = "RED: " + "; ".join(outcome["problems"])[:400] if outcome["problems"] else "ok"
    return (
        f"{outcome['scenario']}, seed {outcome['seed']}: {outcome['kills']} kills,"
        f" {sum(outcome['fired'].values())} faults, {outcome['overlapped']} of them in a transaction,"
        f" {report.get('orders', 0):,} orders, {report.get('lost', '?')} lost,"
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
    parser.add_argument("--results", type=Path, default=ROOT / ".build/faults", help="goes on with what is there")
    parser.add_argument("--quiet", action="store_true", help="only red runs and the last line")
    told = parser.parse_args()
    campaign = Campaign(told.results, told.seed, told.kills, told.orders)
    print(f"seed {told.seed}; {len(campaign.done)} runs are done already, in {told.results}", flush=True)
    with brokers(told.results / "home", 1) as cluster, ThreadPoolExecutor(told.lanes) as pool:
        status = cluster.status()
        assert status is not None
        work(campaign, status.bootstrap_servers, first="recovery-recovery", heavy=False, quiet=told.quiet)
        lanes = [
            pool.submit(work, campaign, status.bootstrap_servers, heavy=not number, quiet=told.quiet)
            for number in range(told.lanes)
        ]
        for lane in lanes:
            lane.result()
    print(summary(campaign.totals))
    never = set(FAULTS) - {one["scenario"].split("-")[0] for one in campaign.done.values() if one["fired"]}
    red = campaign.totals["red"]
    print(f"{len(campaign.done)} runs, {red} of them red; never fired: {', '.join(sorted(never)) or 'none'}")
    sys.exit(1 if red or never else 0)


if __name__ == "__main__":
    main()
