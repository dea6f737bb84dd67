"""`python -m benchmarks.scaling`: several processes of `consume`, their start, spread, rebalances and rates.

Runs the real command on topics of 6 and of many partitions, with 1, 2 and several processes, kills one of them,
and writes docs/scaling.json and the table in docs/scaling.md.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click
import psutil
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]
from rich.console import Console

from benchmarks import machine, record, topics
from benchmarks.__main__ import broker
from benchmarks.runner import ROOT, environment

JSON, PAGE = ROOT / "docs/scaling.json", ROOT / "docs/scaling.md"
_BEGIN, _END = "<!-- begin: made by python -m benchmarks.scaling -->", "<!-- end -->"
_WAIT_SECONDS = 90.0
_STEP_SECONDS = 0.05

Tell = Callable[[str], None]


@dataclass(slots=True)
class Fleet:
    """`consume --processes N` on a topic, and what the broker tells of its group."""

    bootstrap: str
    topic: str
    partitions: int
    processes: int
    home: str
    group: str = field(default_factory=lambda: f"scaling-{uuid.uuid4().hex[:6]}")
    command: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it; topics and groups are its own."""
        names = {"TOPIC": self.topic, "GROUP": self.group, "HOME": self.home, "BOOTSTRAP_SERVERS": self.bootstrap}
        names |= {f"{kind}_TOPIC": f"{self.group}-{kind.lower()}" for kind in ("RETRY", "DLQ", "AVERAGES")}
        names |= {"DLQ_STATUS_TOPIC": f"{self.group}-status", "SESSION_TIMEOUT_MS": "6000"}
        self.command = subprocess.Popen(
            [sys.executable, "-m", "kafka_orders", "consume", "--processes", str(self.processes)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
            env=environment() | {f"KAFKA_ORDERS_{name}": value for name, value in names.items()},
        )  # fmt: skip

    def spread(self) -> list[int]:
        """Return the number of partitions of each member, as the coordinator has them; empty in a rebalance."""
        client = AdminClient({"bootstrap.servers": self.bootstrap})  # kept: its futures end with it
        try:
            found = client.describe_consumer_groups([self.group])[self.group].result(5)
        except Exception:  # no such group yet
            return []
        if found.state.name != "STABLE":
            return []
        return sorted(len(one.assignment.topic_partitions) for one in found.members)

    def is_whole(self) -> bool:
        """Say whether each process is a member, and each partition has one."""
        spread = self.spread()
        return len(spread) == self.processes and sum(spread) == self.partitions

    def handled(self) -> int:
        """Return the sum of the committed offsets."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group})
        where = [TopicPartition(self.topic, number) for number in range(self.partitions)]
        found = consumer.committed(where, 10)
        consumer.close()
        return sum(max(0, one.offset) for one in found)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that work; alone, the command is one itself."""
        own = psutil.Process(self.command.pid)
        return own.children() or [own]

    def stop(self) -> float:
        """End it, as Ctrl-C does; return the seconds that took."""
        began = time.monotonic()
        self.command.send_signal(signal.SIGINT)
        self.command.wait(_WAIT_SECONDS)
        return time.monotonic() - began


def seconds_until(true: Callable[[], bool], what: str) -> float:
    """Return how long it takes until something is true.

    Raises:
        TimeoutError: it does not become true.
    """
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > _WAIT_SECONDS:
            raise TimeoutError(what)
        time.sleep(_STEP_SECONDS)
    return time.monotonic() - began


def run(fleet: Fleet, count: int, broker_cpu: Callable[[], float]) -> dict[str, Any]:
    """Work off a backlog of ``count`` orders, then lose one process; return what was measured."""
    fleet.start()
    try:
        before, first = broker_cpu(), seconds_until(lambda: fleet.handled() > 0, "the first orders are counted")
        began, already = time.monotonic(), fleet.handled()
        seconds_until(lambda: fleet.handled() >= count, "all orders are counted")
        took = time.monotonic() - began
        found: dict[str, Any] = {
            "partitions": fleet.partitions,
            "processes": fleet.processes,
            "first_seconds": first,
            "rate": (count - already) / took if already < count / 2 else None,
            "broker_cpu_us": (broker_cpu() - before) / count * 1e6,
        }
        found["whole_seconds"] = first + took + seconds_until(fleet.is_whole, "every process has partitions")
        found["spread"] = [min(fleet.spread()), max(fleet.spread())]
        found["rss_mb"] = max(one.memory_info().rss for one in fleet.workers()) / 1e6
        if fleet.processes > 1:
            fleet.workers()[0].kill()
            gone = seconds_until(lambda: not fleet.is_whole(), "the group has noticed")
            found["killed_seconds"] = gone + seconds_until(fleet.is_whole, "every process has partitions again")
        return found
    finally:
        found_stop = fleet.stop()
        print(f"  ended in {found_stop:.1f} s", file=sys.stderr)


def measure(bootstrap: str, count: int, many: int, processes: int, tell: Tell) -> dict[str, Any]:
    """Return all runs, with what they ran on."""
    listening = [one for one in psutil.process_iter() if one.name().startswith("java")]

    def broker_cpu() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in listening)

    runs: list[dict[str, Any]] = []
    for partitions, counts in ((6, (1, 2)), (many, (1, 2, processes))):
        topic = f"scaling-{uuid.uuid4().hex[:6]}"
        topics.fill(bootstrap, topic, count, partitions)
        for number in (counts[0], *counts):  # the first run warms the broker up
            with tempfile.TemporaryDirectory() as home:
                runs.append(run(Fleet(bootstrap, topic, partitions, number, home), count, broker_cpu))
            tell(str(runs[-1]))
        del runs[-len(counts) - 1]
        topics.delete(bootstrap, [topic])
    told = {"date": machine.today(), "machine": machine.describe(), "versions": machine.versions()}
    return told | {"orders": count, "runs": runs}


def table(measured: dict[str, Any]) -> str:
    """Return the part of the page that is made."""
    titles = (
        "partitions", "processes", "orders/s", "first count, s", "all at work, s", "partitions each",
        "a killed one is back, s", "broker CPU µs per order", "largest process MB",
    )  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for one in measured["runs"]:
        rate = "-" if one["rate"] is None else f"{one['rate']:,.0f}"
        killed = f"{one['killed_seconds']:.1f}" if "killed_seconds" in one else "-"
        lines.append(
            f"| {one['partitions']} | {one['processes']} | {rate} | {one['first_seconds']:.1f} |"
            f" {one['whole_seconds']:.1f} | {one['spread'][0]} to {one['spread'][1]} | {killed} |"
            f" {one['broker_cpu_us']:.2f} | {one['rss_mb']:.0f} |"
        )
    on = measured["machine"]
    told = f"{measured['orders']:,} orders in each run, session timeout 6 s. Measured on {measured['date']} on"
    lines += ["", f"{told} {on['cpu']}, {on['cores']} cores shared with the broker, {on['memory_gb']} GB."]
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--bootstrap", default="", help="A broker that runs; default: an embedded Kafka for this run.")
@click.option("--orders", default=1_000_000, show_default=True)
@click.option("--partitions", default=100, show_default=True, help="Of the topic with many.")
@click.option("--processes", default=8, show_default=True, help="Of the largest run.")
@click.option("--dry-run", is_flag=True, help="Print, write nothing.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def main(bootstrap: str, orders: int, partitions: int, processes: int, *, dry_run: bool, quiet: bool) -> None:
    """Measure, and put the figures into docs."""
    told = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    with broker(bootstrap, progress=not quiet) as (address, _folder):
        measured = measure(address, orders, partitions, processes, told.print)
    click.echo(table(measured))
    if not dry_run:
        JSON.unlink(missing_ok=True)
        for part, value in measured.items():
            record.save(part, value, JSON)
        head, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
        made = f"{_BEGIN}\n\n{table(measured)}\n\n{_END}"
        PAGE.write_text(head + made + rest.partition(_END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
