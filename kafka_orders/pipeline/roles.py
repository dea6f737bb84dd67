"""Putting a worker together: main reads `orders`, retry reads `orders_retry` behind the gate."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from kafka_orders.domain.brokertime import BrokerTime
from kafka_orders.domain.order import Contract, Decode
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.codec import AnyCodec
from kafka_orders.log.admin import Admin
from kafka_orders.log.consumer import GroupConsumer
from kafka_orders.log.patience import Patience
from kafka_orders.log.reader import Reader
from kafka_orders.log.transaction import TransactionalProducer
from kafka_orders.pipeline import tracing
from kafka_orders.pipeline.batch import BatchLimit
from kafka_orders.pipeline.breaker import Breaker, Probe
from kafka_orders.pipeline.busy import watched
from kafka_orders.pipeline.desk import Desk, SendToDlq, SendToRetry, send_to_dlq, send_to_retry
from kafka_orders.pipeline.handlers import Handler, Results, called_with, checked, failing_for
from kafka_orders.pipeline.handling import Handling
from kafka_orders.pipeline.heap import settled_heap
from kafka_orders.pipeline.instance import Identity
from kafka_orders.pipeline.knobs import Knobs
from kafka_orders.pipeline.reload import SourceWatch
from kafka_orders.pipeline.repair import Repair
from kafka_orders.pipeline.routing import Router
from kafka_orders.pipeline.source import DelayedSource, Source
from kafka_orders.pipeline.startup import Cluster, await_outage, reach
from kafka_orders.pipeline.state import Restorer, State
from kafka_orders.pipeline.stop import Stop
from kafka_orders.pipeline.story import Observer, Story
from kafka_orders.pipeline.watchdog import PATIENCE_SECONDS, Watchdog
from kafka_orders.pipeline.worker import Ended, Worker

RoleName = Literal["main", "retry"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does with each order, apart from Kafka.

    ``codec`` reads orders, and writes what the handler returns for the output topic; ``temporary`` are more
    classes of errors that are tried again; ``probe`` fails while what the handler needs is away.
    """

    codec: AnyCodec
    handler: Handler
    contract: Contract = field(default_factory=Contract)
    to_retry: SendToRetry = send_to_retry
    to_dlq: SendToDlq = send_to_dlq
    temporary: tuple[type[BaseException], ...] = ()
    probe: Probe | None = None

    @property
    def decode(self) -> Decode:
        """What reads an order; raises where the bytes are none, and OutageError where that cannot be known now."""
        return self.codec.decode

    def handling(
        self, settings: Settings, role: RoleName, made: Callable[..., Handling] = Handling
    ) -> tuple[Handling, Desk, Results]:
        """Return step 2 for this job, the desk it works at, and its results, which are to be closed.

        Args:
            made: what step 2 is made with, as :class:`Handling` itself.

        Raises:
            SettingsError: the handler cannot be called with an order.
            OutageError: there is an output topic, and the schema registry does not answer.
        """
        policy = replace(settings.policy, temporary=settings.policy.temporary + self.temporary)
        desk = Desk(policy, source_is_retry=role == "retry", to_retry=self.to_retry, to_dlq=self.to_dlq)
        called = called_with(checked(self.handler), desk.meta)
        failing = failing_for(settings.fail, self.contract.group_by, called)
        if settings.knobs:
            failing = Knobs(settings.knobs).before(self.contract.group_by, failing)
        results = Results(*self.codec.writes(settings.output_topic)) if settings.output_topic else Results()
        reads = self.codec.reads(self.contract)
        return made(reads.plain, failing, desk, results, told=reads.told), desk, results


def run_role(
    role: RoleName, settings: Settings, job: Job, observer: Observer, stop: Stop, *, story: Story | None = None
) -> Ended:
    """Work as ``role`` until stopped; the topics are created if they are missing. ``story`` hears of what happens.

    Raises:
        KafkaOrdersError: see its exit code; nothing that was not committed counts.
    """
    story = story or Story(role)
    made = tracing.handling(_group(role, settings))
    handling, desk, results = await_outage(lambda: job.handling(settings, role, made), stop, story.waiting)
    written = (settings.retry_topic, settings.dlq_topic, settings.averages_topic, settings.output_topic)
    cluster = reach(settings, stop, story.waiting, needed=[_topic(role, settings), *written])
    results.most_bytes = cluster.most_result_bytes
    for complaint in cluster.complaints:
        logging.getLogger(f"kafka_orders.{role}").warning(complaint)
    identity = Identity(_group(role, settings), settings.instance_id, Path(settings.home))
    try:
        worker = _Assembly(role, settings, cluster, Patience(stop, story.waiting), story, job.probe).worker(
            handling, SourceWatch(job.handler), identity.transactional_id, observer, stop
        )
        story.started(identity.transactional_id, worker.state.group, _topic(role, settings))
        with watched(desk, story.busy), settled_heap():
            ended = worker.run()
        story.stopped(ended.value)
        return ended
    finally:
        identity.release()
        results.close()


def _group(role: RoleName, settings: Settings) -> str:
    return settings.group if role == "main" else settings.retry_group


def _topic(role: RoleName, settings: Settings) -> str:
    return settings.topic if role == "main" else settings.retry_topic


@dataclass(frozen=True, slots=True)
class _Assembly:
    role: RoleName
    settings: Settings
    cluster: Cluster
    patience: Patience
    story: Story
    probe: Probe | None = None

    def worker(
        self, handling: Handling, watch: SourceWatch, transactional_id: str, observer: Observer, stop: Stop
    ) -> Worker:
        settings, connection = self.settings, self.cluster.connection
        group, broker_time = _group(self.role, settings), BrokerTime()
        delayed = partial(DelayedSource, policy=settings.policy, broker_time=broker_time)
        hasty = Admin(connection, Patience(stop, limit=PATIENCE_SECONDS))
        reader = Reader(connection, self.patience)
        return Worker(
            new_consumer=lambda came, left: GroupConsumer(
                connection, group, _topic(self.role, settings), came, left
            ),
            new_source=Source if self.role == "main" else delayed,
            producer=TransactionalProducer(
                connection,
                transactional_id,
                self.patience,
                renew_always=settings.epoch == "per-transaction",
                tells_time=self.role == "retry",
            ),
            handling=handling,
            router=self._router(group),
            restorer=Restorer(
                Repair(Admin(connection, self.patience), reader, settings),
                settings.averages_topic,
                self.cluster.partitions[settings.averages_topic],
            ),
            state=State(group),
            story=self.story,
            observer=observer,
            watch=watch,
            stop=stop,
            broker_time=broker_time,
            limit=BatchLimit(settings.batch_size),
            watchdog=Watchdog(hasty, reader, self.story.hanging),
            batch_seconds=settings.batch_ms / 1000,
            # What retry reads has failed before: a share of failures there shows nothing, only a probe does.
            breaker=Breaker(settings.breaker if self.role == "main" else 0.0, settings.max_retries, self.probe),
        )

    def _router(self, group: str) -> Router:
        settings, partitions = self.settings, self.cluster.partitions
        return Router(
            group, settings.policy, settings.retry_topic, settings.dlq_topic, settings.averages_topic,
            partitions[settings.retry_topic], partitions[settings.averages_topic], settings.output_topic,
            settings.dlq_status_topic,
        )  # fmt: skip
