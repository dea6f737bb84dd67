"""One run of a scenario: `python -m tests.faults.run F1-kills-at-random --seed 7`; prints its outcome as JSON."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from kafka_orders.local import Cluster
from tests.faults.bed import Bed
from tests.faults.crew import Outcome
from tests.faults.scenarios import load
from tests.support.pipeline import ROOT


@contextmanager
def brokers(home: Path, number: int) -> Iterator[Cluster]:
    """Run the product's own `broker start --brokers N`, on free ports."""
    ours = ("-m", "kafka_orders", "broker")
    env = {**os.environ, "KAFKA_ORDERS_HOME": str(home), "PYTHONPATH": str(ROOT)}
    started = subprocess.run(
        [sys.executable, *ours, "start", "--brokers", str(number), "--port", "0"],
        env=env, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    try:
        yield Cluster(home, brokers=number, port=None)
    finally:
        subprocess.run([sys.executable, *ours, "stop"], env=env, capture_output=True, timeout=120, check=False)


def run(name: str, seed: int, folder: Path, bootstrap: str = "", mutant: str = "", full: bool = False) -> Outcome:
    """Run a scenario in ``folder``; what breaks it is a problem of its outcome, too.

    ``bootstrap`` is a shared broker, for the scenarios that do nothing to brokers.
    """
    number = load()[name].brokers
    if not number and bootstrap:
        return _run(Bed(bootstrap, folder, name, seed, mutant, full))
    with brokers(folder / "home", number or 1) as cluster:
        status = cluster.status()
        assert status is not None
        bed = Bed(status.bootstrap_servers, folder, name, seed, mutant, full)
        bed.cluster = cluster
        return _run(bed)


def _run(bed: Bed) -> Outcome:
    try:
        _noting(bed, load()[bed.outcome.scenario].run)
        _noting(bed, Bed.settle)
        return bed.outcome
    finally:
        bed.close()


def _noting(bed: Bed, step: Callable[[Bed], object]) -> None:
    try:
        step(bed)
    except Exception as error:  # a finding to be written down, not the end of a campaign
        bed.outcome.problems.append(f"{type(error).__name__}: {error}")
        bed.outcome.notes["said last"] = {one.role.process.pid: one.role.text()[-500:] for one in bed.members}
        bed.end_production()  # it may have been told to go on until the scenario's end


def main() -> None:
    """Run one scenario, on a broker of its own where none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=sorted(load()))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--mutant", default="")
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    parser.add_argument("--full", action="store_true", help="as long as in a campaign")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = told.folder or Path(temporary)
        outcome = run(told.scenario, told.seed, folder, told.bootstrap, told.mutant, told.full)
    print(json.dumps(asdict(outcome), indent=1))
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
