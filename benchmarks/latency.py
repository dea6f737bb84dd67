"""`python -m benchmarks.latency`: how long an order takes to be counted at a given rate, and what idling costs."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console

from benchmarks import machine, record, topics
from benchmarks.__main__ import broker, render_all
from benchmarks.job import Job
from benchmarks.runner import ROOT, environment

#: Orders of the first seconds do not count: connections are made, the broker's JVM compiles.
WARM_UP_SECONDS = 5
IDLE_SECONDS = 10.0
_PARTITIONS = 6
_START_SECONDS = 30.0

Tell = Callable[[str], None]


def at_rate(bootstrap: str, rate: int, seconds: float, *changed: str) -> dict[str, Any]:
    """Return the latencies of a main consumer's process while another one produces at ``rate`` a second.

    ``changed`` may be another ``batch_ms`` than the default.
    """
    job = _job(bootstrap, int(rate * (seconds + WARM_UP_SECONDS)))
    with TemporaryDirectory() as home:
        topics.create_for(job)
        try:
            worker = _start("benchmarks.latency_worker", job, home, str(rate * WARM_UP_SECONDS), *changed)
            _await_ready(worker)
            producer = _start("benchmarks.latency_producer", job, home, str(rate))
            produced, error = producer.communicate(timeout=seconds + WARM_UP_SECONDS + _START_SECONDS)
            if producer.returncode != 0:
                worker.kill()
                raise RuntimeError(f"the producer ended with {producer.returncode}: {produced}{error}")
            return {"rate": rate, **_result(worker, _START_SECONDS)}
        finally:
            topics.delete_of(job)


def idle(bootstrap: str) -> dict[str, Any]:
    """Return the CPU of a main consumer's process without any orders, in percent of a core."""
    job = _job(bootstrap, 0)
    with TemporaryDirectory() as home:
        topics.create_for(job)
        try:
            worker = _start("benchmarks.latency_worker", job, home, "0")
            _await_ready(worker)
            return _result(worker, IDLE_SECONDS + _START_SECONDS)
        finally:
            topics.delete_of(job)


def _job(bootstrap: str, count: int) -> Job:
    name = f"latency-{uuid.uuid4().hex[:6]}"
    return Job(bootstrap, f"{name}-orders", _PARTITIONS, count, 0.0, name, "")


def _start(module: str, job: Job, home: str, *arguments: str) -> subprocess.Popen[str]:
    given = json.dumps(json.loads(job.dump()) | {"home": home})
    return subprocess.Popen(
        [sys.executable, "-m", module, given, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment(),
    )  # fmt: skip


def _await_ready(worker: subprocess.Popen[str]) -> None:
    """Wait until the worker says that its partitions are restored."""
    if worker.stdout is None or worker.stdout.readline().strip() != "ready":
        raise RuntimeError(f"the worker did not start: {worker.communicate(timeout=_START_SECONDS)[1][-3000:]}")


def _result(worker: subprocess.Popen[str], timeout: float) -> dict[str, Any]:
    try:
        said, error = worker.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as late:
        worker.kill()
        raise RuntimeError(f"the worker has not seen all orders after {timeout:g} s") from late
    if worker.returncode != 0:
        raise RuntimeError(f"the worker ended with {worker.returncode}: {error[-3000:]}")
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return found


def measure(bootstrap: str, rates: list[int], seconds: float, warm_up: float, tell: Tell) -> dict[str, Any]:
    """Return what the page shows of latency."""
    found: dict[str, Any] = {
        "date": machine.today(),
        "machine": machine.describe(),
        "versions": {name: one for name, one in machine.versions().items() if "Java" not in name},
        "seconds": seconds,
        "idle_seconds": IDLE_SECONDS,
        "rates": [],
    }
    # A JVM compiles what has run some thousand times: many small transactions, so that they are not interpreted.
    at_rate(bootstrap, 5_000, warm_up, "2")
    tell("the broker is warm")
    for rate in rates:
        one = at_rate(bootstrap, rate, seconds)
        tell(f"{rate:>7,} orders/s: p50 {one['p50']} ms, p95 {one['p95']}, p99 {one['p99']}, longest {one['max']}")
        found["rates"].append(one)
    found |= idle(bootstrap)
    tell(f"idle: {found['idle_percent']:.2f} % of a core")
    return found


@click.command(help=__doc__)
@click.option("--bootstrap", default="", help="A broker that runs; default: an embedded Kafka for this run.")
@click.option("--rates", default="1000,10000", show_default=True, help="Orders per second, one run each.")
@click.option("--seconds", default=30.0, show_default=True, help="Length of each run, after 5 s of warm-up.")
@click.option(
    "--warm-up", default=30.0, show_default=True, help="Seconds of small transactions before, for the JVM."
)
@click.option("--dry-run", is_flag=True, help="Print, write nothing.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def main(bootstrap: str, rates: str, seconds: float, warm_up: float, *, dry_run: bool, quiet: bool) -> None:
    """Measure, and put the figures into the JSON and the page."""
    told = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    with broker(bootstrap, progress=not quiet) as (address, _folder):
        found = measure(address, [int(rate) for rate in rates.split(",")], seconds, warm_up, told.print)
    if dry_run:
        click.echo(json.dumps({"rates": found["rates"], "idle_percent": found["idle_percent"]}))
        return
    record.save("latency", found)
    render_all(told)


if __name__ == "__main__":
    main()
