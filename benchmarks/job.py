"""What a contender is asked to do, and how it tells what it did; both cross a process boundary as JSON."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: Failing orders are those whose price is below ``1 + 4.99 * percent``: prices are spread evenly over 1 to 500.
_PER_PERCENT = 4.99


def failing_below(percent: float) -> float:
    """Return the price below which ``percent`` percent of the orders lie."""
    return 1.0 + _PER_PERCENT * percent


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one contender: ``count`` orders of ``topic``, those cheaper than ``failing_below`` fail.

    ``run`` begins the names of all that belongs to this run alone: groups, ids and topics. ``registry`` is the
    address of the schema registry by which the orders are framed; empty: they are not.
    """

    bootstrap: str
    topic: str
    partitions: int
    count: int
    failing_below: float
    run: str
    home: str
    jars: str = ""
    registry: str = ""

    @property
    def group(self) -> str:
        """The consumer group of this run."""
        return f"{self.run}-main"

    @property
    def failures(self) -> str:
        """The topic that takes the orders that fail."""
        return f"{self.run}-retry"

    @property
    def state(self) -> str:
        """The compacted topic of a contender that keeps its running state in one of its own making."""
        return f"{self.run}-averages"

    def dump(self) -> str:
        """Return the job as JSON."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Meter:
    """The clocks of a contender: from the first record that its client delivered to the last commit.

    Starting, joining the group and finding the start are before it, in the same way for all.
    """

    began: tuple[float, float, float] | None = None
    outcome: dict[str, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """Start the clocks, once."""
        if self.began is None:
            self.began = _clocks()

    def end(self, products: dict[str, tuple[int, float]], failures: int) -> None:
        """Stop the clocks; ``products`` has count and sum of each product, ``failures`` went to their topic."""
        now = _clocks()
        if self.began is None:
            raise RuntimeError("a contender ended that had not begun")
        wall, process, thread = (late - early for late, early in zip(now, self.began, strict=True))
        self.outcome = {
            "seconds": wall,
            "process_cpu": process,
            "thread_cpu": thread,
            "counted": sum(count for count, _ in products.values()),
            "total": sum(total for _, total in products.values()),
            "products": len(products),
            "failures": failures,
            "memory_mb": _peak_mb(),
        }


def _peak_mb() -> int:
    """Return the peak of resident memory in MB where Linux tells it, else 0."""
    status = Path("/proc/self/status")  # not getrusage: there a child begins with its parent's
    lines = status.read_text(encoding="ascii").splitlines() if status.is_file() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def _clocks() -> tuple[float, float, float]:
    """Return seconds: of the wall, of the process on all its threads, of the calling thread."""
    return time.perf_counter(), time.process_time(), time.thread_time()
