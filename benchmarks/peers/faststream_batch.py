"""FastStream: a batch subscriber and a publisher of its Kafka broker (aiokafka inside)."""

from __future__ import annotations

import asyncio

from aiokafka import ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from benchmarks.job import Job, Meter
from benchmarks.peers.common import Work

PACKAGES = ("faststream", "aiokafka", "fastavro")
BATCH = 10_000


async def _work(job: Job, meter: Meter) -> None:
    broker = KafkaBroker(
        job.bootstrap,
        apply_types=False,  # no validation of what is passed on: the fastest way to be called
        logger=None,
        linger_ms=5,
        max_batch_size=65_536,
        acks="all",
    )
    work, done = Work(job.failing_below), asyncio.Event()

    async def whole(message: KafkaMessage) -> KafkaMessage:
        return message  # its own decoder wraps every record of a batch in a message of its own

    @broker.subscriber(
        job.topic,
        batch=True,
        max_records=BATCH,
        batch_timeout_ms=100,
        group_id=job.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,  # by default it commits every 5 s, handled or not
        fetch_max_wait_ms=100,
        check_crcs=False,  # librdkafka's default, too
        decoder=whole,
    )
    async def handle(message: KafkaMessage) -> None:
        if done.is_set():
            return
        meter.begin()
        records: list[ConsumerRecord] = list(message.raw_message)
        failed = work.batch(records)
        await asyncio.gather(*(broker.publish(one.value, job.failures, key=one.key) for one in failed))
        await message.ack()  # commits
        if work.seen >= job.count:
            meter.end(work.totals, work.failures)
            done.set()

    await broker.start()
    await done.wait()
    await broker.stop()


def run(job: Job, meter: Meter) -> None:
    """Work in batches, each acknowledged once its failures are in their topic."""
    asyncio.run(_work(job, meter))
