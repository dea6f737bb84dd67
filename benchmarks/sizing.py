"""`python -m benchmarks.sizing --rate 1000000`: how many processes, and what they would be like.

One worker is simulated as its loop is: it gathers (20 ms where nothing waits, else until it is full or 50 ms are
over), which costs so much per order, then waits for its transaction. `--check` holds the rule against
docs/scaling.json.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import click

from benchmarks import record
from benchmarks.runner import ROOT

MOST, LIGHT_SECONDS, FULL_SECONDS = 20_000, 0.020, 0.050
#: A process is planned at this share of what it can do, for bursts and for the partitions of one that died.
HEADROOM = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """What things cost one worker, in seconds: an order, and a transaction (its wait for the broker included)."""

    order: float = 1.4e-6
    transaction: float = 10e-3

    @property
    def most(self) -> float:
        """Orders per second on a backlog."""
        batch = min(MOST, FULL_SECONDS / self.order)
        return batch / (batch * self.order + self.transaction)


@dataclass(frozen=True, slots=True)
class Worker:
    """How a simulated worker fared."""

    busy: float
    batch: float
    p50_ms: float
    p99_ms: float
    keeps_up: bool


def simulate(rate: float, cost: Cost, seconds: float = 30.0) -> Worker:
    """Return how one worker fares with ``rate`` orders a second, evenly spaced."""
    now = done = busy = 0.0
    spans: list[tuple[float, float, float]] = []  # orders, and the latencies of the newest and the oldest
    while now < seconds:
        waiting = rate * now - done
        if waiting < 1:  # sleeps until an order is there
            now, waiting = max(now, (done + 1) / rate), 1.0
        is_backlog = waiting * cost.order > LIGHT_SECONDS
        age = FULL_SECONDS if is_backlog else LIGHT_SECONDS
        orders = min(MOST, age / cost.order, waiting + rate * age)
        gathered = now + (orders * cost.order if is_backlog else age)
        end = gathered + cost.transaction
        spans.append((orders, end - (done + orders) / rate, end - done / rate))
        busy += orders * cost.order
        done, now = done + orders, end
    half, most = (_percentile(spans, share) * 1000 for share in (0.5, 0.99))
    behind = rate * now - done
    return Worker(busy / now, done / len(spans), half, most, behind < 2 * rate * (FULL_SECONDS + cost.transaction))


def _percentile(spans: list[tuple[float, float, float]], share: float) -> float:
    """Return the latency that ``share`` of the orders do not exceed, by halving."""
    total, low, high = sum(span[0] for span in spans), 0.0, max(span[2] for span in spans)
    for _ in range(40):
        middle = (low + high) / 2
        within = sum(n * min(1.0, max(0.0, (middle - a) / (b - a or 1e-9))) for n, a, b in spans)
        low, high = (low, middle) if within >= share * total else (middle, high)
    return high


def processes(rate: float, cost: Cost, headroom: float = HEADROOM) -> int:
    """Return how many processes a rate needs."""
    return max(1, math.ceil(rate / (cost.most * headroom)))


def machine_most(cores: int, order_cpu: float, broker_cpu: float) -> float:
    """Return the orders per second that cores can do at all with worker and broker on them; CPU in seconds."""
    return cores / (order_cpu + broker_cpu)


def check(cost: Cost) -> list[str]:
    """Return how the rule compares with what was measured."""
    measured = record.load(ROOT / "docs/scaling.json")
    told = []
    for one in measured["runs"]:
        if not one["rate"]:
            continue
        broker_cpu = one["broker_cpu_us"] / 1e6
        capacity = machine_most(measured["machine"]["cores"], 1.3 * cost.order, broker_cpu)
        said = min(one["processes"] * cost.most, capacity)
        off = said / one["rate"] - 1
        what = f"{one['partitions']} partitions, {one['processes']} processes"
        told.append(f"{what}: measured {one['rate']:,.0f}/s, the rule says {said:,.0f}/s ({off:+.0%})")
    return told


@click.command(help=__doc__)
@click.option("--rate", default=1_000_000.0, show_default=True, help="Orders per second, all together.")
@click.option("--order-us", default=1.4, show_default=True, help="What an order costs a worker, microseconds.")
@click.option("--transaction-ms", default=10.0, show_default=True, help="What a transaction takes, milliseconds.")
@click.option("--check", "is_check", is_flag=True, help="Compare with docs/scaling.json.")
def main(rate: float, order_us: float, transaction_ms: float, *, is_check: bool) -> None:
    """Print the plan."""
    cost = Cost(order_us / 1e6, transaction_ms / 1e3)
    number = processes(rate, cost)
    one = simulate(rate / number, cost)
    click.echo(f"a process does {cost.most:,.0f} orders/s at most; for {rate:,.0f}/s plan {number} processes,")
    click.echo(
        f"and at least {2 * number} partitions. Each then has {rate / number:,.0f} orders/s: busy {one.busy:.0%},"
    )
    click.echo(
        f"{one.batch:,.0f} orders per transaction, latency p50 {one.p50_ms:.0f} ms, p99 {one.p99_ms:.0f} ms."
    )
    for line in check(cost) if is_check else []:
        click.echo(line)


if __name__ == "__main__":
    main()
