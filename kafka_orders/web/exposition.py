"""`/metrics` of the server: what the topics tell, and what the roles of `up` share with it.

Asked of every worker these would be added up as often as there are workers; so one process tells them, and roles
tell what only they know (``views/metrics.py``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from kafka_orders._version import __version__
from kafka_orders.report.live import Live
from kafka_orders.report.model import Report
from kafka_orders.views.exposing import SHARED_FOLDER
from kafka_orders.views.metrics import PREFIX

#: Name, kind, what it says, labels.
REPORT_METRICS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("retry_pending", "gauge", "orders that wait for another try", ()),
    ("dlq_open_messages", "gauge", "dead letters that nobody has done anything about", ()),
    ("dlq_oldest_message_age_seconds", "gauge", "age of the oldest open dead letter; 0: there is none", ()),
    ("dlq_error_groups", "gauge", "groups of dead letters, by cause", ()),
    ("dlq_replays", "counter", "replays of dead letters, and how they ended", ("outcome",)),
    ("consumer_lag_messages", "gauge", "records that a group could handle now", ("group", "topic", "partition")),
    ("consumer_lag_seconds", "gauge", "for how long the oldest has been there", ("group", "topic", "partition")),
    ("running_average_price", "gauge", "running average of a product", ("product",)),
    ("report_age_seconds", "gauge", "since what is told here was read from the topics", ()),
    ("build_info", "gauge", "1, with the version", ("version",)),
)  # fmt: skip
#: Products told of: a label's values have to be few.
_MOST_PRODUCTS = 50

_Values = Iterable[tuple[tuple[str, ...], float]]


class ReportCollector(Collector):
    """The newest report as metrics."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its values."""
        values = _values(self._live.report)
        for name, kind, about, labels in REPORT_METRICS:
            if name == "build_info" and SHARED_FOLDER in os.environ:
                continue  # the roles tell it
            if name != "build_info" and not self._live.report.at_ms:
                continue  # nothing has been read yet: zeros would look like a reset, and then like new failures
            family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            made = family(PREFIX + name, about, labels=labels)
            for held, value in values[name]:
                made.add_metric(held, value)
            yield made


def _values(report: Report) -> dict[str, _Values]:
    letters, now_ms = report.letters, int(time.time() * 1000)
    oldest = letters.oldest_open_ms
    lag = [((one.group, one.topic, str(one.partition)), one) for one in report.lag]
    return {
        "retry_pending": [((), report.flow.waiting)],
        "dlq_open_messages": [((), letters.open)],
        "dlq_oldest_message_age_seconds": [((), 0.0 if oldest is None else max(0, now_ms - oldest) / 1000)],
        "dlq_error_groups": [((), letters.group_count)],
        "dlq_replays": [((outcome,), count) for outcome, count in report.replays.items()],
        "consumer_lag_messages": [(held, one.lag - one.waiting) for held, one in lag],
        "consumer_lag_seconds": [(held, one.seconds) for held, one in lag if one.seconds is not None],
        "running_average_price": [((one.product,), one.average) for one in report.products[:_MOST_PRODUCTS]],
        "report_age_seconds": [((), max(0, now_ms - report.at_ms) / 1000)],
        "build_info": [((__version__,), 1.0)],
    }


def metrics_of(live: Live) -> APIRouter:
    """Return `/metrics` of a process that keeps a report."""
    registry = CollectorRegistry()
    registry.register(ReportCollector(live))
    if SHARED_FOLDER in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    router = APIRouter(tags=["metrics"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus's text format"}},
    )
    def metrics() -> Response:  # fmt: skip
        """Return the metrics of the pipeline as its topics tell them."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
