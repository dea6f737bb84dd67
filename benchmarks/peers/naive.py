"""The loop of the tutorials: poll() one record, decode, count, flush each failure, and commit."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer

from benchmarks.job import Job, Meter
from benchmarks.peers.common import Totals, decoder

PACKAGES = ("confluent-kafka", "fastavro")


def run(job: Job, meter: Meter, *, sync: bool) -> None:
    """Work record by record; ``sync`` commits each and waits, else the client commits every 5 s by itself."""
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": not sync,
            "fetch.queue.backoff.ms": 1,  # by default 1000, four to five times slower: be generous
        }
    )
    producer = Producer({"bootstrap.servers": job.bootstrap, "linger.ms": 0})  # each is waited for
    consumer.subscribe([job.topic])
    decode, failures, totals = decoder(), 0, Totals()
    for _ in range(job.count):
        while (message := consumer.poll(1.0)) is None or message.error():
            pass
        meter.begin()
        order = decode(message.value())
        if order["price"] < job.failing_below:
            producer.produce(job.failures, message.value(), message.key())
            producer.flush()
            failures += 1
        else:
            count, total = totals.get(order["product"], (0, 0.0))
            totals[order["product"]] = (count + 1, total + order["price"])
        if sync:
            consumer.commit(message, asynchronous=False)
    if not sync:
        consumer.commit(asynchronous=False)
    meter.end(totals, failures)
    consumer.close()
