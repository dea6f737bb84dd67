"""Running one contender in a process of its own, and not believing it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import topics
from benchmarks.contenders import Contender
from benchmarks.job import Job, failing_below
from benchmarks.topics import Expected

ROOT = Path(__file__).resolve().parents[1]
_TIMEOUT_SECONDS = 600.0
#: A sum of a million prices may be rounded in another order.
_SUM_TOLERANCE = 1e-9


class WrongOutcomeError(Exception):
    """A contender failed, or what it says does not agree with the orders."""


@dataclass(slots=True)
class Bed:
    """What all runs of a session share; ``orders`` are the topics, by what they hold."""

    bootstrap: str
    partitions: int
    name: str
    orders: Mapping[str, tuple[str, Expected]]
    jars: str = ""
    registry: str = ""
    timeout: float = _TIMEOUT_SECONDS
    runs: int = field(default=0, init=False)

    def run(self, contender: Contender) -> dict[str, Any]:
        """Let a contender do its job once; return what it measured.

        Raises:
            WrongOutcomeError: it failed, or its outcome is not the expected one.
        """
        topic, expected = self.orders[contender.source]
        self.runs += 1
        with tempfile.TemporaryDirectory() as home:
            job = Job(
                self.bootstrap, topic, self.partitions, len(expected.prices), failing_below(contender.percent),
                f"{self.name}-{self.runs}-{contender.name}", home, self.jars,
                self.registry if contender.framed else "",
            )  # fmt: skip
            topics.create_for(job)
            try:
                outcome = _child(contender, job, self.timeout)
                self.check(contender, job, expected, outcome)
            finally:
                topics.delete_of(job)
        return outcome | {"orders": job.count}

    def check(self, contender: Contender, job: Job, expected: Expected, outcome: dict[str, Any]) -> None:
        """Compare what a contender says, and what it left in Kafka, with the orders.

        Raises:
            WrongOutcomeError: naming the figure that differs.
        """
        count, total, failures = expected.of(contender.percent)
        facts: list[tuple[str, float, float]] = []
        if "size" in contender.checked:
            facts.append(("records seen", outcome["counted"], job.count))
        if "state" in contender.checked:
            facts.append(("orders counted", outcome["counted"], count))
            facts.append(("products", outcome["products"], expected.products))
            facts.append(("sum of prices", outcome["total"], total))
            facts.append(("failures told", outcome["failures"], failures))
        if "failures" in contender.checked:
            held = topics.count_of(job.bootstrap, job.failures, failures)
            facts.append(("records in the failures topic", held, failures))
        if "offsets" in contender.checked:
            done = topics.committed(job.bootstrap, job.group, job.topic, job.partitions)
            facts.append(("committed offsets", done, job.count))
        wrong = [f"{what}: {is_:g}, expected {should:g}" for what, is_, should in facts if not _same(is_, should)]
        if wrong:
            raise WrongOutcomeError(f"{contender.name}: {'; '.join(wrong)}")


def _same(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=_SUM_TOLERANCE, abs_tol=0.0)


def python_of(environment: str) -> Path | None:
    """Return the interpreter of an environment that make installs; None where it is not there."""
    if environment == "app":
        return Path(sys.executable)
    folder = ROOT / {"bench": ".venv-bench", "quix": ".venv-bench-quix"}[environment]
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return found if found.is_file() else None


def environment() -> dict[str, str]:
    """Return the environment of a contender's process: none of the user's own settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_ORDERS_")}
    return clean | {"PYTHONPATH": str(ROOT)}


def _child(contender: Contender, job: Job, timeout: float) -> dict[str, Any]:
    python = python_of(contender.python)
    if python is None:
        raise WrongOutcomeError(f"{contender.name}: its environment is not installed; `make bench` does that")
    command = [str(python), "-m", "benchmarks.child", contender.name]
    try:
        done = subprocess.run(
            command, input=job.dump(), capture_output=True, text=True, cwd=ROOT,
            env=environment(), timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise WrongOutcomeError(f"{contender.name}: not ready after {timeout:g} s") from late
    if done.returncode != 0:
        raise WrongOutcomeError(f"{contender.name}: ended with {done.returncode}:\n{done.stderr[-3000:]}")
    outcome: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return outcome
