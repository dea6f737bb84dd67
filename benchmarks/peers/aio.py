"""aiokafka: `getmany` batches, with a commit for each, or in transactions."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.job import Job, Meter
from benchmarks.peers.common import Work

PACKAGES = ("aiokafka", "fastavro")
BATCH, BATCH_SECONDS = 20_000, 0.05


def consumer_of(job: Job, **more: Any) -> AIOKafkaConsumer:
    """Return a consumer at its fastest fair settings."""
    return AIOKafkaConsumer(
        job.topic,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        check_crcs=False,  # librdkafka's default, too
        fetch_max_wait_ms=100,
        **more,
    )


async def _gather(consumer: AIOKafkaConsumer, seen_first: bool) -> list[Any]:
    """Return up to BATCH records, gathered for up to BATCH_SECONDS: one getmany gives what was fetched."""
    records: list[Any] = []
    deadline = time.monotonic() + BATCH_SECONDS if seen_first else float("inf")
    while len(records) < BATCH and (left := deadline - time.monotonic()) > 0:
        wait = 100 if left > 1 else int(left * 1000)
        for part in (await consumer.getmany(timeout_ms=wait, max_records=BATCH - len(records))).values():
            records += part
        if records and deadline == float("inf"):
            break
    return records


async def _plain(job: Job, meter: Meter) -> None:
    # One getmany a batch: without a transaction there is no fixed cost that a larger one would share.
    consumer = consumer_of(job)
    producer = AIOKafkaProducer(bootstrap_servers=job.bootstrap, linger_ms=5, max_batch_size=65_536, acks="all")
    await consumer.start()
    await producer.start()
    work = Work(job.failing_below)
    while work.seen < job.count:
        parts = await consumer.getmany(timeout_ms=100, max_records=BATCH)
        if not parts:
            continue
        meter.begin()
        failed = [one for part in parts.values() for one in work.batch(part, [one.value for one in part])]
        sent = [await producer.send(job.failures, one.value, one.key) for one in failed]
        await asyncio.gather(*sent)  # acknowledged before the offsets say that they were handled
        await consumer.commit()
    meter.end(work.totals, work.failures)
    await consumer.stop()
    await producer.stop()


async def _transactional(job: Job, meter: Meter) -> None:
    consumer = consumer_of(job, isolation_level="read_committed")
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap, transactional_id=f"{job.run}-tx", linger_ms=5, max_batch_size=65_536
    )
    await consumer.start()
    await producer.start()
    work = Work(job.failing_below)
    while work.seen < job.count:
        records = await _gather(consumer, work.seen > 0)
        if not records:
            continue
        meter.begin()
        async with producer.transaction():
            for one in work.batch(records, [one.value for one in records]):
                await producer.send(job.failures, one.value, one.key)
            # Not awaited one by one: the end of the transaction waits for all of them.
            ends = {TopicPartition(one.topic, one.partition): one.offset + 1 for one in records}
            await producer.send_offsets_to_transaction(ends, job.group)
    meter.end(work.totals, work.failures)
    await consumer.stop()
    await producer.stop()


def run(job: Job, meter: Meter, *, transactional: bool) -> None:
    """Work in batches, in transactions or not."""
    asyncio.run((_transactional if transactional else _plain)(job, meter))
