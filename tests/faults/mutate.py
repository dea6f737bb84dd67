"""`make mutants`: takes one defence after the other away, and prints which scenario noticed."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.crew import Outcome
from tests.faults.mutants import MUTANTS
from tests.faults.run import brokers, run

#: A mutant that lives is tried with so many more seeds: chance decides whether a rebalance meets a batch.
_TRIES = 3


#: What counts as noticed: the checker's findings, the product's own proof, a role that ended. Not a slow machine.
_FINDINGS = re.compile(r"I\d |seen |verify --deep|\w+ ended (by itself )?with")


def found_in(outcome: Outcome) -> list[str]:
    """Return what a run has found of the product, or that the run itself broke where nothing was taken away."""
    return [one for one in outcome.problems if _FINDINGS.match(one)]


def controlled(scenario: str, seed: int, bootstrap: str, folder: Path) -> str:
    """Run a scenario with nothing taken away; return what it found, which has to be nothing."""
    outcome = run(scenario, seed, folder / f"control-{scenario}", bootstrap, "none")
    return f"{scenario} is red by itself: {outcome.problems}" if outcome.problems else ""


def killed(name: str, seed: int, bootstrap: str, folder: Path, *, quiet: bool) -> tuple[str, Outcome]:
    """Run the scenario of a mutant until it is red."""
    scenario = MUTANTS[name].scenario
    for number in range(_TRIES):
        began = time.monotonic()
        outcome = run(scenario, seed + number, folder / f"{name}-{number}", bootstrap, name)
        if not quiet:
            verdict = "red" if found_in(outcome) else f"green {outcome.problems}"
            print(
                f"... {name}: {scenario} seed {seed + number} {verdict}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
        if found_in(outcome):
            break
    return name, outcome


def row(name: str, outcome: Outcome) -> str:
    """Return a line of the table."""
    said = next(iter(found_in(outcome)), "SURVIVED")
    start, error, why = said.partition("error: ")
    told = f"{start.split(':')[0]}: {why}" if error else said
    by = " ".join(told.split())[:110].replace("|", "/")
    return f"| {MUTANTS[name].defence} | {name} | {outcome.scenario} | {outcome.seed} | {by} |"


def main() -> None:
    """Run them all, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, brokers(Path(temporary) / "home", 1) as cluster:
        status = cluster.status()
        assert status is not None
        servers = status.bootstrap_servers
        scenarios = sorted({MUTANTS[name].scenario for name in told.names or MUTANTS})
        with ThreadPoolExecutor(2) as pool:
            controls = pool.map(lambda one: controlled(one, told.seed, servers, Path(temporary)), scenarios)
            broken = [one for one in controls if one]
            found = list(
                pool.map(
                    lambda name: killed(name, told.seed, servers, Path(temporary), quiet=told.quiet),
                    told.names or list(MUTANTS),
                )
            )
    print("| defence | taken away by | scenario | seed | first thing found |\n| --- | --- | --- | --- | --- |")
    for name, outcome in found:
        print(row(name, outcome))
    survived = [name for name, outcome in found if not found_in(outcome)]
    print(f"{len(found) - len(survived)} of {len(found)} killed")
    print(f"controls, nothing taken away: {len(broken)} of {len(scenarios)} red", *broken, sep="\n")
    sys.exit(1 if survived or broken else 0)


if __name__ == "__main__":
    main()
