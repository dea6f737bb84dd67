"""The producer of a latency run, in a process of its own: JOB RATE."""

from __future__ import annotations

import json
import sys

from benchmarks.job import Job
from benchmarks.peers.ours import settings_of
from kafka_orders.formats.opening import order_codec
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.stop import Stop


def main() -> None:
    """Produce the job's orders at a steady rate; fail where one was not acknowledged."""
    job, rate = Job(**json.loads(sys.argv[1])), float(sys.argv[2])
    settings = settings_of(job, rate=rate, count=job.count, seed=1)
    done = produce(settings, order_codec(), lambda _order, _report: None, lambda _text: None, Stop())
    sys.exit(0 if done.acknowledged == job.count else 1)


if __name__ == "__main__":
    main()
