"""The main consumer of a latency run, in a process of its own: JOB ORDERS-NOT-TO-COUNT [BATCH-MS].

Says `ready` once its partitions are restored, and at the end what it measured, as JSON. A job without orders
measures idling.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.job import Job
from benchmarks.latency import IDLE_SECONDS
from benchmarks.peers.ours import app_of, settings_of
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.roles import run_role
from kafka_orders.pipeline.state import State
from kafka_orders.pipeline.stop import Stop

#: After the restore, until the group and the client have settled.
_SETTLE_SECONDS = 2.0


class Watched:
    """A job whose orders' timestamps (ms) are kept until their transaction has committed."""

    def __init__(self, job: Any) -> None:
        self._job, self.handler, self.probe = job, job.handler, job.probe
        self.stamps: list[int] = []
        #: ms from each order's timestamp to its being handled, before the rest of its batch and the commit.
        self.waits: list[int] = []

    def handling(self, *arguments: Any) -> tuple[Any, Any, Any]:
        """Return what the job returns; what it handles is noted."""
        handling, desk, results = self._job.handling(*arguments)
        handle = handling.handle

        def noted(messages: list[Any], batch: Batch, deadline: float) -> int:
            done = int(handle(messages, batch, deadline))
            stamps = [message.timestamp()[1] for message in messages[:done]]
            now = time.time() * 1000
            self.stamps += stamps
            self.waits += [round(now - stamp) for stamp in stamps]
            return done

        handling.handle = noted
        return handling, desk, results


class Watch:
    """The observer: latencies of every committed order, or the CPU of some idle seconds."""

    def __init__(self, job: Job, warm_up: int, watched: Watched, stop: Stop) -> None:
        self.latencies: list[int] = []
        self.idle_percent = 0.0
        self._batches = 0
        self._job, self._warm_up, self._watched, self._stop = job, warm_up, watched, stop
        self._ready_at = 0.0
        self._idle_from: tuple[float, float] | None = None

    def __call__(self, batch: Batch, state: State) -> None:
        """Take a committed batch, or an empty one when idle."""
        if batch.size:
            now = time.time() * 1000  # the commit has returned
            stamps = self._watched.stamps
            if len(stamps) != batch.size:
                raise RuntimeError("a batch was handled again; this run measures nothing")
            self.latencies += [round(now - stamp) for stamp in stamps]
            stamps.clear()
            self._batches += 1
            if len(self.latencies) >= self._job.count:
                self._stop.request()
        elif not self._ready_at and len(state.progress) == self._job.partitions:
            self._ready_at = time.monotonic()
            print("ready", flush=True)
        if not self._job.count and self._ready_at:
            self._idle()

    def _idle(self) -> None:
        now = time.monotonic()
        if self._idle_from is None:
            if now >= self._ready_at + _SETTLE_SECONDS:
                self._idle_from = now, time.process_time()
        elif now - self._idle_from[0] >= IDLE_SECONDS:
            self.idle_percent = 100 * (time.process_time() - self._idle_from[1]) / (now - self._idle_from[0])
            self._stop.request()

    def result(self) -> dict[str, Any]:
        """Return percentiles in ms of the orders that count, or the idle percentage of a core."""
        if not self._job.count:
            return {"idle_percent": self.idle_percent}
        held = sorted(self.latencies[self._warm_up :])
        at = {name: _at(held, part) for name, part in _PERCENTILES.items()}
        handled = _at(sorted(self._watched.waits[self._warm_up :]), 0.5)
        return {**at, "max": held[-1], "orders": len(held), "handled_p50": handled, "batches": self._batches}


def _at(held: list[int], part: float) -> int:
    return held[min(len(held) - 1, int(len(held) * part))]


_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def main() -> None:
    """Work as main, and tell."""
    job, stop = Job(**json.loads(sys.argv[1])), Stop()
    settings = settings_of(job, **({"batch_ms": int(sys.argv[3])} if len(sys.argv) > 3 else {}))
    watched: Any = Watched(app_of(job).job(settings))
    watch = Watch(job, int(sys.argv[2]), watched, stop)
    run_role("main", settings, watched, watch, stop)
    print(json.dumps(watch.result()), flush=True)


if __name__ == "__main__":
    main()
