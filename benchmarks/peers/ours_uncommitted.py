"""kafka-orders' gather step alone: poll, decode, handle, aggregate. A yardstick, not a way to work."""

from __future__ import annotations

import gc

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.job import Job, Meter
from benchmarks.peers.ours import app_of, settings_of
from kafka_orders.domain.bulk import Journal
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.shards import Shards
from kafka_orders.pipeline.alarm import Alarm
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
    state = State(job.group, {slot: Progress(job.group, 0) for slot in slots})
    state.shards, state.journals = {slot: Shards() for slot in slots}, {slot: Journal() for slot in slots}
    seen, batch, alarm, left = 0, Batch(), Alarm(), []
    gc.collect()
    gc.freeze()  # as the worker does
    while seen < job.count:
        if not (messages := left or consumer.consume(POLL_SIZE if seen else 1, 0.01)):
            continue
        meter.begin()
        if not batch.size:
            alarm.set(settings.batch_ms / 1000)
        handled = handling.handle(messages, batch, alarm)
        seen, left = seen + handled, messages[handled:]
        if batch.size >= settings.batch_size or alarm.rung or seen >= job.count:
            state.apply(state.after(batch))
            batch.offsets()
            batch = Batch()
    alarm.close()
    tallies = {name: state.product(name) for shards in state.shards.values() for name in shards}
    failures = sum(one.retried for one in state.progress.values())
    meter.end({name: (one.count, one.total) for name, one in tallies.items()}, failures)
    results.close()
    consumer.close()
