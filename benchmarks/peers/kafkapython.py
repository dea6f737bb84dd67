"""kafka-python: `poll` batches, each followed by a commit."""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer

from benchmarks.job import Job, Meter
from benchmarks.peers.common import Work

PACKAGES = ("kafka-python", "fastavro")


def run(job: Job, meter: Meter) -> None:
    """Work in batches of what one poll returns."""
    consumer = KafkaConsumer(
        job.topic,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        check_crcs=False,  # its CRC-32C is in Python
        max_poll_records=10_000,
        fetch_max_wait_ms=100,
        metrics_enabled=False,
    )
    producer = KafkaProducer(
        bootstrap_servers=job.bootstrap, linger_ms=5, batch_size=65_536, acks="all", metrics_enabled=False
    )
    work = Work(job.failing_below)
    while work.seen < job.count:
        parts = consumer.poll(timeout_ms=100)
        if not parts:
            continue
        meter.begin()
        for part in parts.values():
            for one in work.batch(part, [one.value for one in part]):
                producer.send(job.failures, one.value, one.key)
        producer.flush()  # acknowledged before the offsets say that they were handled
        consumer.commit()
    meter.end(work.totals, work.failures)
    consumer.close()
    producer.close()
