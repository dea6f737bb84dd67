"""Who is in a consumer group, and which partitions each member has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from kafka_orders.domain.records import Slot
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import kafka_error

_REQUEST_SECONDS = 10.0


class MemberSeen(NamedTuple):
    """A member as the coordinator tells of it."""

    member: str
    client: str
    host: str
    slots: tuple[Slot, ...]


class GroupSeen(NamedTuple):
    """A group as its coordinator knows it; ``state`` in small letters, as in `stable` or `empty`."""

    group: str
    state: str
    members: tuple[MemberSeen, ...] = ()


def groups(admin: Admin, names: Sequence[str]) -> list[GroupSeen]:
    """Return each of the groups; one that nobody ever joined is `unknown`.

    Raises:
        BrokerError: permission is missing.
    """

    def question(client: AdminClient) -> list[GroupSeen]:
        asked = client.describe_consumer_groups(list(names), request_timeout=_REQUEST_SECONDS)
        return [_seen(name, asked[name]) for name in names]

    return admin.ask(f"describe the groups {', '.join(names)}", question)


def _seen(name: str, asked: object) -> GroupSeen:
    try:
        found = asked.result()  # type: ignore[attr-defined]
    except KafkaException as raised:
        if kafka_error(raised).code() == KafkaError.GROUP_ID_NOT_FOUND:
            return GroupSeen(name, "unknown")
        raise
    members = tuple(
        MemberSeen(one.member_id, one.client_id, one.host.lstrip("/"), _slots(one.assignment))
        for one in found.members
    )
    return GroupSeen(name, found.state.name.lower(), members)


def _slots(assignment: object) -> tuple[Slot, ...]:
    held = getattr(assignment, "topic_partitions", None) or ()
    return tuple(sorted(Slot(one.topic, one.partition) for one in held))
