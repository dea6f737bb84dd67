"""Time to write and to read an order: ratios to the first way, round by round within one run."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import process_time
from typing import Any, NamedTuple

from kafka_orders.comparison.ways import Way

#: Orders are written and read over and over for so long at the least, in seconds: clocks are coarse.
_LEAST_SECONDS = 0.02


class Ratio(NamedTuple):
    """A time over that of the first way: the median of the rounds, and their range; ``us`` is per order."""

    median: float
    least: float
    most: float
    us: float


def measure(ways: Sequence[Way], rounds: int, done: Callable[[], None]) -> dict[str, tuple[Ratio, Ratio]]:
    """Return by name what writing and reading cost; reading is what a worker does: decode and validate.

    All ways have their turn in each round, each time another one first, since a machine's speed drifts.
    """
    writes: list[dict[str, float]] = []
    reads: list[dict[str, float]] = []
    payloads = {one.name: [one.encode(order) for order in one.orders] for one in ways}
    with _undisturbed():
        for number in range(rounds):
            shift = number % len(ways)
            turn = [*ways[shift:], *ways[:shift]]
            writes.append({one.name: _seconds(one.encode, one.orders) for one in turn})
            reads.append({one.name: _seconds(one.read, payloads[one.name]) for one in turn})
            done()
    first = ways[0].name
    return {one.name: (_ratio(writes, one.name, first), _ratio(reads, one.name, first)) for one in ways}


@contextmanager
def _undisturbed() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _seconds(work: Callable[[Any], object], given: Sequence[Any]) -> float:
    """Return seconds of the processor for one."""
    times, began = 0, process_time()
    while (spent := process_time() - began) < _LEAST_SECONDS:
        for one in given:
            work(one)
        times += 1
    return spent / (times * len(given))


def _ratio(rounds: list[dict[str, float]], name: str, first: str) -> Ratio:
    found = [one[name] / one[first] for one in rounds]
    return Ratio(
        statistics.median(found), min(found), max(found), statistics.median(one[name] for one in rounds) * 1e6
    )
