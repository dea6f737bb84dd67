"""FastStream: a batch subscriber and a publisher of its Kafka broker, on aiokafka or on confluent-kafka."""

from __future__ import annotations

import asyncio
from typing import Any

from faststream import AckPolicy, confluent, kafka

from benchmarks.job import Job, Meter
from benchmarks.peers.common import Work

PACKAGES = ("faststream", "aiokafka", "confluent-kafka", "fastavro")
#: Given to both brokers: no validation of what is passed on is the fastest way to be called.
BROKER: dict[str, Any] = {"apply_types": False, "logger": None, "linger_ms": 5, "acks": "all"}


async def whole(message: Any) -> Any:
    """Decode nothing: its own decoder wraps every record of a batch in a message of its own."""
    return message


def on_aiokafka(job: Job) -> tuple[Any, Any]:
    """Return broker and subscriber."""
    broker = kafka.KafkaBroker(job.bootstrap, max_batch_size=65_536, **BROKER)
    subscriber = broker.subscriber(
        job.topic,
        batch=True,
        max_records=10_000,
        batch_timeout_ms=100,
        group_id=job.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,  # by default it commits every 5 s, handled or not
        fetch_max_wait_ms=100,
        check_crcs=False,  # librdkafka's default, too
        decoder=whole,
    )
    return broker, subscriber


def on_confluent(job: Job) -> tuple[Any, Any]:
    """Return broker and subscriber."""
    # By default 1000 ms, which makes a consume() loop four to five times slower.
    broker = confluent.KafkaBroker(job.bootstrap, config={"fetch.queue.backoff.ms": 1}, **BROKER)
    subscriber = broker.subscriber(
        job.topic,
        batch=True,
        max_records=10_000,  # each batch is a commit and two changes of threads: at 1,000 half as fast
        polling_interval=0.02,  # waited out when fewer are there
        group_id=job.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        fetch_max_wait_ms=100,
        check_crcs=False,
        decoder=whole,
    )
    return broker, subscriber


async def _work(job: Job, meter: Meter, client: str) -> None:
    broker, subscriber = (on_confluent if client == "confluent" else on_aiokafka)(job)
    work, done = Work(job.failing_below), asyncio.Event()

    @subscriber
    async def handle(message: Any) -> None:
        if done.is_set():
            return
        meter.begin()
        records = message.raw_message
        if client == "confluent":
            failed = [(one.value(), one.key()) for one in work.batch(records, [one.value() for one in records])]
        else:
            failed = [(one.value, one.key) for one in work.batch(records, [one.value for one in records])]
        await asyncio.gather(*(broker.publish(value, job.failures, key=key) for value, key in failed))
        await message.ack()  # commits
        if work.seen >= job.count:
            meter.end(work.totals, work.failures)
            done.set()

    await broker.start()
    await done.wait()
    await broker.stop()


def run(job: Job, meter: Meter, *, client: str) -> None:
    """Work in batches, each acknowledged once its failures are in their topic."""
    asyncio.run(_work(job, meter, client))
