"""The five topics: what they must be, creating what is missing, saying what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from kafka_orders.domain.errors import BrokerError
from kafka_orders.domain.policy import LONGEST_DELAY_MS
from kafka_orders.domain.settings import Settings
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import kafka_error
from kafka_orders.log.errors import denied

_DAY_MS = 24 * 3_600_000
#: Kafka's default of max.message.bytes; retry and DLQ take this and our headers.
_ORDER_BYTES = 1_048_588
_HEADER_ROOM = 64 * 1024
_KEY_ROOM = 1024


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be. ``config`` are the settings that the pipeline rests on.

    ``partitions`` is how many it gets, ``least`` with how few it still does its work well.
    """

    name: str
    partitions: int
    config: dict[str, str]
    least: int = 1


def specs(settings: Settings, order_bytes: int = _ORDER_BYTES) -> list[TopicSpec]:
    """Return the five topics of these settings, where the orders topic takes records of ``order_bytes``."""
    roomy = {"max.message.bytes": str(order_bytes + _HEADER_ROOM), "retention.ms": str(30 * _DAY_MS)}
    compacted = {"cleanup.policy": "compact", "segment.bytes": str(16 * 1024 * 1024)}
    tidy = {"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}  # a restore reads what is not compacted
    broker_time = {"message.timestamp.type": "LogAppendTime"}  # due times must not hang on a worker's clock
    bands = settings.max_retries + 1
    return [
        TopicSpec(settings.topic, settings.partitions, {"retention.ms": str(7 * _DAY_MS)}),
        TopicSpec(settings.retry_topic, settings.retry_partitions, {**roomy, **broker_time}, bands),
        TopicSpec(settings.dlq_topic, settings.partitions, roomy),
        TopicSpec(settings.averages_topic, settings.partitions, {**compacted, **tidy, **broker_time}),
        TopicSpec(settings.dlq_status_topic, settings.partitions, compacted),
    ]


def fitting(admin: Admin, settings: Settings) -> list[TopicSpec]:
    """Return the five topics as they should be beside the orders topic that is there and may be looked at."""
    try:
        has = configs(admin, list(admin.partition_counts([settings.topic]))).get(settings.topic)
    except BrokerError:
        has = None
    return specs(settings, int(has["max.message.bytes"])) if has else specs(settings)


def create_all(admin: Admin, settings: Settings, needed: Collection[str] | None = None) -> list[str]:
    """Create what is missing, the orders topic first: the others have to take what it takes. Return the names.

    What is not ``needed`` (default: all are) may be missing where it may not be created, or not be seen.

    Raises:
        BrokerError: permission is missing, or the broker refuses a topic.
    """
    first = create_missing(admin, specs(settings)[:1], needed)
    return first + create_missing(admin, fitting(admin, settings) + output_spec(settings), needed)


def output_spec(settings: Settings) -> list[TopicSpec]:
    """Return the output topic, where there is one. It is yours: created if missing, never checked or deleted."""
    return [TopicSpec(settings.output_topic, settings.partitions, {})] if settings.output_topic else []


def most_result_bytes(admin: Admin, output_topic: str) -> int:
    """Return the most bytes of a value that the output topic takes beside a key of ordinary length."""
    if not output_topic:
        return sys.maxsize
    return int(configs(admin, [output_topic])[output_topic]["max.message.bytes"]) - _KEY_ROOM


def create_missing(admin: Admin, wanted: Iterable[TopicSpec], needed: Collection[str] | None) -> list[str]:
    """Create what does not exist; return the names created. Another process may do the same meanwhile.

    A topic that is not ``needed`` (default: all are) is passed over where permission to create it is missing.

    Raises:
        BrokerError: permission is missing, or the broker refuses a topic.
    """
    wanted = list(wanted)
    missing = set(_missing(admin, wanted))
    made: list[str] = []

    def question(client: AdminClient) -> list[str] | None:
        new = [
            NewTopic(one.name, num_partitions=one.partitions, replication_factor=-1, config=one.config)
            for one in wanted
            if one.name in missing
        ]
        for name, future in client.create_topics(new, request_timeout=10).items() if new else []:
            try:
                future.result()
                made.append(name)
            except KafkaException as raised:
                error = kafka_error(raised)
                refusal = denied(error, f"{name}, which does not exist, or may not be seen")
                if refusal and needed is not None and name not in needed:
                    wanted[:] = [one for one in wanted if one.name != name]
                elif error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise refusal or raised from raised
        # Created is not yet known everywhere: wait until the metadata shows all of them.
        missing.clear()
        missing.update(_missing(admin, wanted))
        return None if missing else made

    return admin.ask("create topics", question) if missing else []


def _missing(admin: Admin, wanted: Iterable[TopicSpec]) -> list[str]:
    names = [one.name for one in wanted]
    counts = admin.partition_counts(names)
    return [name for name in names if not counts.get(name)]


#: What is wrong with a topic, and what to do.
Fault = tuple[str, str]


def check(admin: Admin, wanted: Iterable[TopicSpec]) -> list[str]:
    """Return what is wrong with the topics, one fix per line; empty when all is well."""
    wanted = list(wanted)
    counts = admin.partition_counts([one.name for one in wanted])
    found = configs(admin, [one.name for one in wanted if one.name in counts])
    return [f"{what}: {fix}" for what, fix in faults(wanted, found) + few(wanted, counts)]


def few(wanted: Iterable[TopicSpec], counts: Mapping[str, int]) -> list[Fault]:
    """Return which of the topics that exist have too few partitions to do their work well."""
    return [
        (
            f"topic {one.name} has {counts[one.name]} partitions, so short delays wait behind long ones",
            f"kafka-topics --alter --topic {one.name} --partitions {one.partitions}",
        )
        for one in wanted
        if 0 < counts.get(one.name, 0) < one.least
    ]


def faults(wanted: Iterable[TopicSpec], found: Mapping[str, Mapping[str, str]]) -> list[Fault]:
    """Return what is wrong with topics of which ``found`` has the settings."""
    said: list[Fault] = []
    for one in wanted:
        if one.name not in found:
            said.append((f"topic {one.name} does not exist", "`kafka-orders topics create` makes it"))
            continue
        said += _faults(one.name, one.config, found[one.name])
    return said


def _faults(topic: str, config: dict[str, str], has: Mapping[str, str]) -> list[Fault]:
    return [
        (
            f"topic {topic}: {name} is {actual}, should be {wanted}",
            f"kafka-configs --alter --topic {topic} --add-config {name}={wanted}",
        )
        for name, wanted in config.items()
        if not _suits(name, wanted, actual := has.get(name, ""))
    ]


def _suits(name: str, wanted: str, actual: str) -> bool:
    if name == "retention.ms":  # longer is fine, unlimited too; a retry must outlive its longest delay
        return int(actual) < 0 or int(actual) >= min(int(wanted), 2 * LONGEST_DELAY_MS)
    if name == "max.message.bytes":
        return int(actual) >= int(wanted)
    if name in ("cleanup.policy", "message.timestamp.type"):
        return actual == wanted
    return True  # how tidy the changelog is kept is a matter of speed, not of right or wrong


def configs(admin: Admin, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the settings in force of topics that exist, by topic."""
    names = list(names)

    def question(client: AdminClient) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        futures = client.describe_configs(resources, request_timeout=10)
        return {
            resource.name: {entry.name: str(entry.value) for entry in future.result().values()}
            for resource, future in futures.items()
        }

    return admin.ask(f"read the settings of {', '.join(names)}", question) if names else {}


def delete(admin: Admin, names: Iterable[str], groups: Iterable[str]) -> None:
    """Delete consumer groups, then topics, and wait until they are gone; unknown ones are gone already.

    Raises:
        BrokerError: a group still has members (nothing was deleted then), or permission is missing.
    """
    names, groups = list(names), list(groups)

    def question(client: AdminClient) -> bool | None:
        if groups:
            _settle(client.delete_consumer_groups(groups, request_timeout=10))
        _settle(client.delete_topics(names, operation_timeout=10))
        return True if not admin.partition_counts(names) else None

    admin.ask("delete topics and groups", question)


def _settle(futures: dict[str, Future[None]]) -> None:
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as raised:
            code = kafka_error(raised).code()
            if code == KafkaError.NON_EMPTY_GROUP:
                raise BrokerError(
                    f"group {name} still has members: stop its consumers (or wait until their session"
                    " times out) and try again"
                ) from raised
            if code not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND):
                raise
