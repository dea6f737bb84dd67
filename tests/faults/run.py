"""One run of one scenario: `python -m tests.faults.run F1-kills-at-random --seed 7`; prints its outcome as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from kafka_orders.local import Cluster
from tests.faults.bed import Bed, Outcome
from tests.faults.scenarios import load


def run(name: str, seed: int, bootstrap: str, folder: Path, mutant: str = "", full: bool = False) -> Outcome:
    """Run a scenario in ``folder``; what breaks it is a problem of its outcome, too."""
    bed = Bed(bootstrap, folder, name, seed, mutant, full)
    try:
        load()[name].run(bed)
        return bed.settle()
    except Exception as error:  # a finding to be written down, not the end of a campaign
        bed.outcome.problems.append(f"{type(error).__name__}: {error}")
        return bed.outcome
    finally:
        bed.close()


def main() -> None:
    """Run one scenario, on a broker of its own where none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=sorted(load()))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--mutant", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--full", action="store_true")
    told = parser.parse_args()
    with ExitStack() as stack:
        folder = told.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not told.bootstrap:
            cluster = Cluster(folder / "home", port=None)
            told.bootstrap = cluster.start(progress=False).bootstrap_servers
            stack.callback(cluster.stop)
        outcome = run(told.scenario, told.seed, told.bootstrap, folder / "run", told.mutant, told.full)
    json.dump(asdict(outcome), sys.stdout, indent=1)
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
