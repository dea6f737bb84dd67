"""kafka-orders' gather step alone: poll, decode, handle, aggregate. A yardstick, not a way to work."""

from __future__ import annotations

import gc
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.job import Job, Meter
from benchmarks.peers.ours import app_of, settings_of
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.startup import connection_of
from kafka_orders.pipeline.state import State
from kafka_orders.pipeline.worker import POLL_SIZE

PACKAGES = ("confluent-kafka", "fastavro")


def run(job: Job, meter: Meter) -> None:
    """Gather batches of the default size and make each the state in memory, without a transaction."""
    settings = settings_of(job)
    handling, _, results = app_of(job).job(settings).handling(settings, "main")
    consumer = Consumer(connection_of(settings).member(job.group))
    slots = [Slot(job.topic, number) for number in range(job.partitions)]
    consumer.assign([TopicPartition(*slot, OFFSET_BEGINNING) for slot in slots])
    state = State(job.group, {slot: Progress(job.group, 0) for slot in slots}, {slot: {} for slot in slots})
    seen, batch, consume = 0, Batch(), consumer.consume
    gc.collect()
    gc.freeze()  # as the worker does
    while seen < job.count:
        messages = consume(POLL_SIZE if seen else 1, 0.01)
        if not messages:
            continue
        meter.begin()
        if not batch.size:
            deadline = time.monotonic() + settings.batch_ms / 1000
        seen += handling.handle(messages, batch, deadline + 60)
        if batch.size >= settings.batch_size or time.monotonic() >= deadline or seen >= job.count:
            state.apply(state.after(batch))
            batch.offsets()
            batch = Batch()
    tallies = {name: state.product(name) for shards in state.shards.values() for name in shards}
    failures = sum(one.retried for one in state.progress.values())
    meter.end({name: (one.count, one.total) for name, one in tallies.items()}, failures)
    results.close()
    consumer.close()
