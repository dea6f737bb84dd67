"""kafka-orders' main role at its default settings, as an app runs it."""

from __future__ import annotations

from typing import Any

from benchmarks.job import Job, Meter
from kafka_orders.app import App
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.roles import run_role
from kafka_orders.pipeline.state import State
from kafka_orders.pipeline.stop import Stop

PACKAGES = ("confluent-kafka", "fastavro")


def settings_of(job: Job, **changed: Any) -> Settings:
    """Return the default settings, with names for this run."""
    return Settings(
        bootstrap_servers=job.bootstrap,
        home=job.home,
        topic=job.topic,
        retry_topic=job.failures,
        averages_topic=job.state,
        dlq_topic=f"{job.run}-dlq",
        dlq_status_topic=f"{job.run}-status",
        group=job.group,
        retry_group=f"{job.run}-r",
        dlq_group=f"{job.run}-d",
        partitions=job.partitions,
        registry_url=job.registry,
        **changed,
    )


def app_of(job: Job) -> App:
    """Return an app whose handler fails as the job says."""
    failing_below = job.failing_below

    def handler(order: dict[str, Any]) -> None:
        if order["price"] < failing_below:
            raise ConnectionError("simulated")

    return App(handler)


class Metered:
    """A worker's job that starts the clocks at the first record, at no cost for the others."""

    def __init__(self, job: Any, meter: Meter) -> None:
        self._job, self._meter = job, meter
        self.handler, self.probe = job.handler, job.probe

    def handling(self, *arguments: Any) -> tuple[Any, Any, Any]:
        """Return what the job returns, its first call watched."""
        handling, desk, results = self._job.handling(*arguments)

        def first(*given: Any) -> int:
            self._meter.begin()
            del handling.handle  # from now on it is the class's own again
            return int(handling.handle(*given))

        handling.handle = first
        return handling, desk, results


def run(job: Job, meter: Meter, **changed: Any) -> None:
    """Work as main until all orders are committed."""
    settings, stop, seen = settings_of(job, **changed), Stop(), 0

    def observer(batch: Batch, state: State) -> None:
        nonlocal seen
        seen += batch.size
        if seen >= job.count and not stop.requested:
            stop.request()
            products = {product for shards in state.shards.values() for product in shards}
            tallies = {product: state.product(product) for product in products}
            failures = sum(one.retried + one.dead for one in state.progress.values())
            meter.end({name: (one.count, one.total) for name, one in tallies.items()}, failures)

    metered: Any = Metered(app_of(job).job(settings), meter)
    run_role("main", settings, metered, observer, stop)
