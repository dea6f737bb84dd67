"""The yardstick: a `consume(200)` loop of confluent-kafka that takes the records and does nothing else."""

from __future__ import annotations

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.job import Job, Meter
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.startup import connection_of

PACKAGES = ("confluent-kafka",)
#: As many as our own worker polls for: the client's CPU per record rises with it.
POLL = 200


def run(job: Job, meter: Meter) -> None:
    """Take all records, with the client settings of our own consumer (fetch.queue.backoff.ms=1)."""
    consumer = Consumer(connection_of(Settings(bootstrap_servers=job.bootstrap)).member(job.group))
    consumer.assign([TopicPartition(job.topic, number, OFFSET_BEGINNING) for number in range(job.partitions)])
    while not (messages := consumer.consume(1, 10.0)):
        pass
    meter.begin()
    seen, consume = len(messages), consumer.consume
    while seen < job.count:
        # A short timeout: consume() waits it out whenever fewer than POLL records are there.
        seen += len(consume(POLL, 0.01))
    meter.end({"": (seen, 0.0)}, 0)
    consumer.close()
