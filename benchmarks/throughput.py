"""The main consumer, exactly-once, against a raw consume() loop of the same client, interleaved.

    python benchmarks/throughput.py [--orders 1000000] [--rounds 5] [--failures 1] [--own-broker]

Prints orders per second of both, and the ratio of each round. The raw loop only takes the messages;
the main consumer decodes, validates, averages per product, sends ``--failures`` percent of the orders to
retry, and commits all of it in transactions. Six more rounds come first and do not count: the JVM of a new
broker compiles on the same two cores. Medians of ratios within one run are what counts here: the absolute
figures follow the machine of the moment.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from kafka_orders.domain.settings import Settings
from kafka_orders.formats.avro import order_format
from kafka_orders.local import Cluster
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.roles import Job, run_role
from kafka_orders.pipeline.startup import connection_of
from kafka_orders.pipeline.state import State
from kafka_orders.pipeline.stop import Stop
from kafka_orders.sources import home_folder

POLL = 200
WARM_UP = 6


def settings_for(name: str, orders: str, bootstrap: str, home: str) -> Settings:
    """Return settings whose state and groups are new, over the given orders topic."""
    return Settings(
        bootstrap_servers=bootstrap,
        home=home,
        topic=orders,
        retry_topic=f"{name}-retry",
        dlq_topic=f"{name}-dlq",
        averages_topic=f"{name}-averages",
        dlq_status_topic=f"{name}-status",
        group=f"{name}-main",
        retry_group=f"{name}-r",
        dlq_group=f"{name}-d",
    )


def raw(settings: Settings, count: int) -> float:
    """Return the seconds of a loop that consumes and does nothing else."""
    config = connection_of(settings).member(f"raw-{uuid.uuid4().hex[:8]}")
    consumer = Consumer(config)
    consumer.assign([TopicPartition(settings.topic, p, OFFSET_BEGINNING) for p in range(settings.partitions)])
    seen = len(consumer.consume(1, 10.0))
    started = time.perf_counter()
    while seen < count:
        # A short timeout: consume() waits it out whenever fewer than POLL records are there.
        seen += len(consumer.consume(POLL, 0.01))
    took = time.perf_counter() - started
    consumer.close()
    return took


def exactly_once(settings: Settings, count: int, failures: float) -> float:
    """Return the seconds for ``count`` orders, taken from the first committed batch to the last."""
    stop, seen, marks = Stop(), 0, []
    failing_below = 1.0 + 4.99 * failures  # prices are spread evenly over 1 to 500

    def observer(batch: Batch, _state: State) -> None:
        nonlocal seen
        if batch.size:
            seen += batch.size
            marks.append((time.perf_counter(), seen))
            if seen >= count:
                stop.request()

    def handler(order: dict[str, Any]) -> None:
        if order["price"] < failing_below:
            raise ConnectionError("simulated")

    run_role("main", settings, Job(order_format().decode, handler), observer, stop)
    (first, before), (last, after) = marks[0], marks[-1]
    return (last - first) * count / (after - before)


def main() -> None:
    """Run the rounds and print the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--orders", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--failures", type=float, default=1.0, help="percent of the orders")
    options.add_argument("--bootstrap", default="localhost:9092")
    options.add_argument("--own-broker", action="store_true", help="start a Kafka for this run alone")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as home:
        if not chosen.own_broker:
            run(chosen.orders, chosen.rounds, chosen.failures, chosen.bootstrap, home)
            return
        os.environ.setdefault("KAFKA_ORDERS_CACHE", str(home_folder() / "jars"))
        cluster = Cluster(Path(home), port=None)
        try:
            run(chosen.orders, chosen.rounds, chosen.failures, cluster.start().bootstrap_servers, home)
        finally:
            cluster.stop()


def run(count: int, rounds: int, failures: float, bootstrap: str, home: str) -> None:
    """Fill a topic, then measure both in turn."""
    run_id = f"bench-{uuid.uuid4().hex[:6]}"
    base = settings_for(run_id, f"{run_id}-orders", bootstrap, home)
    fill = Settings(bootstrap_servers=bootstrap, topic=base.topic, rate=0.0, count=count, seed=1)
    upkeep.create(base, print)
    produce(fill, order_format().encode, lambda _order, _report: None, print, Stop())
    print(f"{count} orders, {failures:g} % failures, {rounds} rounds")
    ratios = []
    for number in range(-WARM_UP, rounds):
        settings = settings_for(f"{run_id}-{number + WARM_UP}", base.topic, bootstrap, home)
        upkeep.create(settings, print)
        measures = {
            "raw": partial(raw, base, count),
            "exactly-once": partial(exactly_once, settings, count, failures),
        }
        order = sorted(measures, reverse=number % 2 == 0)
        rates = {name: count / measures[name]() for name in order}
        ratio = rates["exactly-once"] / rates["raw"]
        told = f"exactly-once {rates['exactly-once']:,.0f}/s  raw {rates['raw']:,.0f}/s  {ratio:.3f}"
        print(told if number >= 0 else f"{told}  (warm-up)")
        ratios += [ratio] if number >= 0 else []
    print(f"ratio: median {statistics.median(ratios):.3f}, range {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
