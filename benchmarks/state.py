"""State that grows: the main consumer's rate by the number of products, and how long a restore takes.

    python -m benchmarks.state [--bootstrap localhost:9092] [--orders 500000] [--rounds 5] [--shards 1000000]

Prints orders per second with 5, 1,000 and 100,000 products (uniformly random over 6 partitions, so there are up to
600,000 shards), interleaved, with the ratios to 5 products; then seconds and memory of a restore, in a process of
its own each: of shard records one by one, and of what the main consumer wrote of as many different products.
Medians of ratios within one run are what counts: the absolute figures follow the machine of the moment.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from struct import pack, unpack

from confluent_kafka import Producer

from kafka_orders.domain.averages import tally
from kafka_orders.domain.records import Progress, Slot, dump_progress, dump_shard, progress_key, shard_key
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.avro import order_format
from kafka_orders.formats.opening import order_codec
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.roles import Job, run_role
from kafka_orders.pipeline.state import State
from kafka_orders.pipeline.stop import Stop

PRODUCTS = (5, 1_000, 100_000)


def settings_for(name: str, orders: str, bootstrap: str, home: str) -> Settings:
    """Return settings whose state and groups are new, over the given orders topic."""
    return Settings(
        bootstrap_servers=bootstrap, home=home, topic=orders, retry_topic=f"{name}-retry", dlq_topic=f"{name}-dlq",
        averages_topic=f"{name}-averages", dlq_status_topic=f"{name}-status", group=f"{name}-main",
        retry_group=f"{name}-r", dlq_group=f"{name}-d",
    )  # fmt: skip


def send(producer: Producer, topic: str, value: bytes, key: bytes | str, partition: int = -1) -> None:
    """Produce, and wait where the client's queue is full."""
    while True:
        try:
            producer.produce(topic, value, key, partition)
        except BufferError:
            producer.poll(0.1)
        else:
            return


def fill(bootstrap: str, topic: str, names: Iterator[int]) -> None:
    """Produce one order for each number, of the product with that number."""
    encode, source = order_format().encode, random.Random(1)
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000}
    )
    for number in names:
        key, price = f"{source.getrandbits(64):016x}", round(source.uniform(1.0, 500.0), 2)
        order = encode({"orderId": key, "product": f"product-{number}", "price": price})
        send(producer, topic, order, key)
    producer.flush()


def consumed(settings: Settings, count: int) -> float:
    """Return orders per second, taken from the first committed batch to the last."""
    stop, seen, marks = Stop(), 0, []

    def observer(batch: Batch, _state: State) -> None:
        nonlocal seen
        if batch.size:
            seen += batch.size
            marks.append((time.perf_counter(), seen))
            if seen >= count:
                stop.request()

    run_role("main", settings, Job(order_codec(), lambda _order: None), observer, stop)
    (first, before), (last, after) = marks[0], marks[-1]
    return (after - before) / (last - first)


def rates(bootstrap: str, home: str, orders: int, rounds: int, name: str) -> None:
    """Measure all numbers of products in turn."""
    for products in PRODUCTS:
        upkeep.create(settings_for(f"{name}-fill", f"{name}-{products}", bootstrap, home), print)
        source = random.Random(products)
        fill(bootstrap, f"{name}-{products}", (source.randrange(products) for _ in range(orders)))
    ratios: dict[int, list[float]] = {products: [] for products in PRODUCTS}
    for number in range(-1, rounds):
        found = {}
        for products in sorted(PRODUCTS, reverse=number % 2 == 0):
            settings = settings_for(f"{name}-{products}-{number + 1}", f"{name}-{products}", bootstrap, home)
            upkeep.create(settings, lambda _said: None)
            found[products] = consumed(settings, orders)
        told = "  ".join(f"{products:,}: {found[products]:,.0f}/s" for products in PRODUCTS)
        print(told if number >= 0 else f"{told}  (warm-up)", flush=True)
        for products in PRODUCTS if number >= 0 else ():
            ratios[products].append(found[products] / found[PRODUCTS[0]])
    for products, each in ratios.items():
        print(f"{products:,} products: median {statistics.median(each):.2f}, {min(each):.2f} to {max(each):.2f}")


def shards_one_by_one(settings: Settings, shards: int) -> None:
    """Write a state of single shard records, spread over the partitions."""
    producer = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "linger.ms": 50,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    source = random.Random(1)
    for number in range(shards):
        slot = Slot(settings.topic, number % settings.partitions)
        prices = (unpack("f", pack("f", source.uniform(1.0, 500.0)))[0] for _ in range(3))
        value = dump_shard(tally(list(prices)), 3)
        send(producer, settings.averages_topic, value, shard_key(slot, f"product-{number}"), slot.partition)
    for partition in range(settings.partitions):
        slot = Slot(settings.topic, partition)
        held = len(range(partition, shards, settings.partitions))
        value = dump_progress(Progress(settings.group, 0, 3 * held))
        send(producer, settings.averages_topic, value, progress_key(slot), partition)
    producer.flush()


def restore(settings: Settings) -> None:
    """Restore in this process, and print how that went."""
    stop, ready, started = Stop(), [], time.perf_counter()

    def observer(_batch: Batch, state: State) -> None:
        if len(state.progress) == settings.partitions and not ready:
            ready.append(time.perf_counter() - started)
            stop.request()

    logging.basicConfig(format="%(message)s", level=logging.INFO)
    run_role("main", settings, Job(order_codec(), lambda _order: None), observer, stop)
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())  # getrusage tells the parent's too
    assert peak
    print(f"ready after {ready[0]:.2f} s; resident at most {int(peak[1]) / 1024:.0f} MB")


def restores(bootstrap: str, home: str, shards: int, name: str) -> None:
    """Measure restores of a state that was written one by one, and of one that a worker wrote."""
    single = settings_for(f"{name}-single", f"{name}-single", bootstrap, home)
    upkeep.create(single, print)
    shards_one_by_one(single, shards)
    bulk = settings_for(f"{name}-bulk", f"{name}-bulk", bootstrap, home)
    upkeep.create(bulk, print)
    fill(bootstrap, bulk.topic, iter(range(shards)))
    print(f"{shards:,} different products: {consumed(bulk, shards):,.0f}/s")
    for kind in ("single", "bulk") * 3:
        command = [
            sys.executable,
            "-m",
            "benchmarks.state",
            "--bootstrap",
            bootstrap,
            "--restore",
            f"{name}-{kind}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told = [line for line in (done.stdout + done.stderr).splitlines() if "ready" in line or "restored" in line]
        print(f"{kind}: {'; '.join(told)}", flush=True)


def main() -> None:
    """Run what was asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--orders", type=int, default=500_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--shards", type=int, default=1_000_000)
    options.add_argument("--bootstrap", default="localhost:9092")
    options.add_argument("--restore", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    name = f"state-{uuid.uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory() as home:
        if chosen.restore:
            restore(settings_for(chosen.restore, chosen.restore, chosen.bootstrap, home))
            return
        if chosen.rounds:
            rates(chosen.bootstrap, home, chosen.orders, chosen.rounds, name)
        if chosen.shards:
            restores(chosen.bootstrap, home, chosen.shards, name)


if __name__ == "__main__":
    main()
