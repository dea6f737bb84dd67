"""Quix Streams, exactly-once: a stateful function over a dataframe; state in RocksDB with a changelog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastavro
from quixstreams import Application
from quixstreams.models.serializers import BytesDeserializer, BytesSerializer
from quixstreams.models.serializers.avro import AvroDeserializer, AvroSerializer

from benchmarks.job import Job, Meter
from benchmarks.peers.common import SCHEMA, Totals

PACKAGES = ("quixstreams", "confluent-kafka", "fastavro")


class OnePerPartition(BytesDeserializer):
    """Gives all records of a partition one key, so that the state is kept by partition.

    State belongs to a record's key, here the order's id. The other way to a state by product is `group_by`,
    which sends every order through another topic; this is faster.
    """

    def __call__(self, value: bytes, ctx: Any) -> bytes:  # noqa: ARG002
        return b"all"


def run(job: Job, meter: Meter) -> None:
    """Count and sum by product; the failing orders go on to their topic."""
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=5.0,  # its default: fewer, larger transactions are its fastest
        state_dir=Path(job.home),
        loglevel="ERROR",
        consumer_extra_config={"fetch.queue.backoff.ms": 1},
        producer_extra_config={"linger.ms": 50},
        consumer_poll_timeout=0.1,
    )
    schema = fastavro.parse_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))  # else once per record
    orders = app.topic(job.topic, key_deserializer=OnePerPartition(), value_deserializer=AvroDeserializer(schema))
    failed = app.topic(job.failures, key_serializer=BytesSerializer(), value_serializer=AvroSerializer(schema))
    totals, seen, failures, below = Totals(), 0, 0, job.failing_below

    def count(order: dict[str, Any], state: Any) -> None:
        nonlocal seen, failures
        meter.begin()
        seen += 1
        price, product = order["price"], order["product"]
        if price < below:
            failures += 1
        else:
            held, total = state.get(product, (0, 0.0))
            state.set(product, (held + 1, total + price))
            held, total = totals.get(product, (0, 0.0))  # for the check: what all partitions have counted
            totals[product] = (held + 1, total + price)
        if seen >= job.count:
            app.stop()

    frame = app.dataframe(orders).update(count, stateful=True)
    frame = frame.filter(lambda order: order["price"] < below)
    frame.to_topic(failed, key=lambda order: order["orderId"].encode())
    _end_at_last_commit(app, lambda: meter.end(totals, failures))
    app.run()


def _end_at_last_commit(app: Application, ended: Any) -> None:
    context = app._processing_context
    commit = context.commit_checkpoint

    def watched(force: bool = False, **more: Any) -> None:
        commit(force=force, **more)
        if force and not more:  # the last one, when the application stops; partitions are given back later
            ended()

    object.__setattr__(context, "commit_checkpoint", watched)
