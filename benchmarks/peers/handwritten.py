"""What a Python team would write by hand for this one job: the floor under every worker of this kind.

The client's calls in the right order with the settings of our own clients, our compiled decoder, and nothing
else: no handler that may fail in its own way, no validation, no headers, no bookkeeping by partition, no answer to
a rebalance or an error. What kafka-orders takes beyond it is the price of those.
"""

from __future__ import annotations

import json
import struct
import time
from collections import defaultdict
from collections.abc import Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from benchmarks.job import Job, Meter
from benchmarks.peers.common import SCHEMA, decoder
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.flat import compile_flat
from kafka_orders.pipeline.startup import connection_of

PACKAGES = ("confluent-kafka", "fastavro")
POLL, BATCH, BATCH_SECONDS = 200, 20_000, 0.05
_TOTAL = struct.Struct("<qd")


Gathered = tuple[int, dict[str, list[float]], list[Message]]


def gatherer(consumer: Consumer, meter: Meter, failing_below: float) -> Callable[[], Gathered]:
    """Return what gathers a batch: how many records, the values by product, and those that fail."""
    decode = compile_flat(json.loads(SCHEMA.read_text(encoding="utf-8")), decoder())
    assert decode is not None

    def gather() -> Gathered:
        values: defaultdict[str, list[float]] = defaultdict(list)
        failed: list[Message] = []
        size, deadline = 0, float("inf")
        while size < BATCH and (left := deadline - time.monotonic()) > 0:
            messages = consumer.consume(min(POLL, BATCH - size) if size else 1, min(left, 0.1))
            if not messages:
                break
            if not size:
                meter.begin()
                deadline = time.monotonic() + BATCH_SECONDS
            for message in messages:
                order = decode(message.value())  # type: ignore[arg-type]
                price = order["price"]
                if price < failing_below:
                    failed.append(message)
                else:
                    values[order["product"]].append(price)
            size += len(messages)
        return size, values, failed

    return gather


def run(job: Job, meter: Meter) -> None:
    """Work in transactions until all orders are committed."""
    connection = connection_of(Settings(bootstrap_servers=job.bootstrap))
    consumer = Consumer(connection.member(job.group))
    started: list[TopicPartition] = []

    def begin(member: Consumer, partitions: list[TopicPartition]) -> None:
        started.extend(TopicPartition(one.topic, one.partition, OFFSET_BEGINNING) for one in partitions)
        member.incremental_assign(started)

    consumer.subscribe([job.topic], on_assign=begin)
    producer = Producer({**connection.transactional_producer(f"{job.run}-tx"), "delivery.report.only.error": True})
    producer.init_transactions(30)
    totals: dict[str, tuple[int, float]] = {}
    seen = failures = 0
    gather = gatherer(consumer, meter, job.failing_below)
    while seen < job.count:
        size, values, failed = gather()
        if not size:
            continue
        producer.begin_transaction()
        for one in failed:
            producer.produce(job.failures, one.value(), one.key())
        for product, prices in values.items():
            count, total = totals.get(product, (0, 0.0))
            totals[product] = now = count + len(prices), total + sum(prices)
            producer.produce(job.state, _TOTAL.pack(*now), product)
        producer.flush()
        ends = consumer.position(started)
        producer.send_offsets_to_transaction(ends, consumer.consumer_group_metadata(), 10)
        producer.commit_transaction(10)
        seen += size
        failures += len(failed)
    meter.end(totals, failures)
    consumer.close()
