"""Metrics of a role for Prometheus: counted where things happen, told at `/metrics` of its own process.

What the topics tell (lag, waiting retries, dead letters, averages) is told by `serve` (``web/metrics.py``): asked
of every worker it would be added up as often as there are workers. No label comes from keys, ids or error texts.

Source of the names: prometheus.io/docs/practices/naming (base units, ``_total``).
"""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kafka_orders._version import __version__
from kafka_orders.domain.settings import Settings
from kafka_orders.log.consumer import Slots
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.story import Story

PREFIX = "kafka_orders_"

#: Name, kind, what it says, labels.
ROLE_METRICS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("messages_produced", "counter", "records that the broker took", ("topic",)),
    ("messages_consumed", "counter", "records that were handled, those of undone batches too", ("topic", "group")),
    ("messages_processed", "counter", "records whose outcome was committed", ("topic", "outcome")),
    ("processing_duration_seconds", "histogram", "time to handle an order, the mean of each batch", ("topic",)),
    ("end_to_end_latency_seconds", "histogram",
     "from the order's own time to its commit, of the oldest order of each partition of a batch", ("topic",)),
    ("retries", "counter", "failures that wait for another try", ("error_type",)),
    ("retry_wait_seconds", "histogram",
     "time in the retry topic, of the oldest record of each partition of a batch", ()),
    ("dlq_messages", "counter", "dead letters", ("error_type", "stage")),
    ("rebalances", "counter", "times that partitions came to this worker", ("group",)),
    ("transactions", "counter", "transactions", ("outcome",)),
    ("transaction_duration_seconds", "histogram", "from the first record produced to the end of the commit", ()),
    ("producer_recycles", "counter", "producers replaced, since their last transaction was suspect", ()),
    ("build_info", "gauge", "1, with the version", ("version",)),
)  # fmt: skip

#: Seconds; those of OpenTelemetry's messaging conventions, and longer ones for retries.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)


class Metrics:
    """The metrics of one process, by name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        kinds: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
        more: dict[str, dict[str, Any]] = {
            "gauge": {"multiprocess_mode": "max"},
            "histogram": {"buckets": _BUCKETS},
        }
        self._held = {
            name: kinds[kind](PREFIX + name, about, labels, registry=registry, **more.get(kind, {}))
            for name, kind, about, labels in ROLE_METRICS
        }
        self["build_info"].labels(__version__).set(1)

    def __getitem__(self, name: str) -> Any:
        return self._held[name]

    def story(self, role: str, settings: Settings) -> Counting:
        """Return a worker's story that is counted here."""
        return Counting(role, settings, self)


class Counting(Story):
    """A worker's story that is counted as well; nothing is done for a single good record."""

    def __init__(self, role: str, settings: Settings, metrics: Metrics) -> None:
        super().__init__(role)
        is_main = role == "main"
        self._topic = settings.topic if is_main else settings.retry_topic
        self._group = settings.group if is_main else settings.retry_group
        self._settings, self._metrics, self._is_main = settings, metrics, is_main

    def assigned(self, slots: Slots) -> None:
        """Count a rebalance."""
        super().assigned(slots)
        self._metrics["rebalances"].labels(self._group).inc()

    def recycled(self, why: str) -> None:
        """Count a new producer."""
        super().recycled(why)
        if why != "start":
            self._metrics["producer_recycles"].inc()

    def aborted(self, why: str, batch: Batch) -> None:
        """Count an undone batch."""
        super().aborted(why, batch)
        self._metrics["transactions"].labels("aborted").inc()
        self._metrics["messages_consumed"].labels(self._topic, self._group).inc(batch.size)

    def committed(self, batch: Batch, seconds: float) -> None:
        """Count what became of a batch."""
        super().committed(batch, seconds)
        count = self._metrics
        count["transactions"].labels("committed").inc()
        count["transaction_duration_seconds"].observe(seconds)
        if not batch.size:
            return
        count["messages_consumed"].labels(self._topic, self._group).inc(batch.size)
        count["processing_duration_seconds"].labels(self._topic).observe(batch.busy_seconds / batch.size)
        now_ms = time.time() * 1000
        for part in batch.slots.values():
            if part.written_ms > 0:
                late = max(0.0, now_ms - part.written_ms) / 1000
                count["end_to_end_latency_seconds"].labels(self._topic).observe(late)
            if not self._is_main and part.came_ms > 0:
                count["retry_wait_seconds"].observe(max(0.0, now_ms - part.came_ms) / 1000)
        self._count_outcomes(batch)

    def _count_outcomes(self, batch: Batch) -> None:
        count, routed = self._metrics, batch.routed()
        dead = 0
        for one in routed:
            failure = one.failure
            if one.is_dead:
                dead += 1
                count["dlq_messages"].labels(failure.fqcn, failure.stage).inc()
            else:
                count["retries"].labels(failure.fqcn).inc()
        outcomes = {
            "success": sum(part.processed for part in batch.slots.values()),
            "skipped": sum(part.skipped for part in batch.slots.values()),
            "retried": len(routed) - dead,
            "dead_lettered": dead,
        }
        for outcome, number in outcomes.items():
            if number:
                count["messages_processed"].labels(self._topic, outcome).inc(number)
        for topic, number in (
            (self._settings.retry_topic, outcomes["retried"]), (self._settings.dlq_topic, dead)
        ):  # fmt: skip
            if number:
                count["messages_produced"].labels(topic).inc(number)
