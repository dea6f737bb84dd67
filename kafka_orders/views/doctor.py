"""``doctor``: what the facts mean and what to do about each. Pure; ``examination.py`` gathers the facts.

Each check yields what it saw as (level, found, fix); a check that yields nothing found all well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.settings import Settings
from kafka_orders.log.diagnosis import Clock, Cluster
from kafka_orders.log.topics import TopicSpec, faults, few
from kafka_orders.views.lag import Lag

#: What works, but not as well or as safely as it could, is a warning; what stops the pipeline or endangers
#: orders is a problem.
OK, WARNING, PROBLEM = "ok", "warning", "problem"
Told = Iterator[tuple[str, str, str]]

#: Client properties that, passed through, take offsets or groups out of the pipeline's hands.
_MEDDLING = {"auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store", "group.id"}
_OLDEST_CLIENT = [2, 16]
#: Clocks that differ less need no word.
_CLOCK_MS = 1_000
_BEGIN_ANEW = "`kafka-orders verify` tells what is provable, `kafka-orders reset --yes` begins again from empty"
_CONSUME = "start `kafka-orders consume` and `kafka-orders retry`"


class Finding(NamedTuple):
    """One line of the diagnosis; ``fix`` is empty where all is well."""

    check: str
    level: str
    found: str
    fix: str


def versions(held: Mapping[str, str]) -> Told:
    """Judge the versions of Python and the packages; empty is not installed."""
    found = ", ".join(
        f"{name} {one or 'not installed (only the embedded Kafka needs it)'}" for name, one in held.items()
    )
    if any(
        [int(part) for part in held[name].split(".")[:2]] < _OLDEST_CLIENT
        for name in ("confluent-kafka", "librdkafka")
    ):
        yield WARNING, f"{found}: exactly-once is not tested with it", "pip install 'confluent-kafka>=2.16'"
    else:
        yield OK, found, ""


def properties(passed: Iterable[str]) -> Told:
    """Judge the client properties that are passed through."""
    for name in sorted(_MEDDLING & set(passed)):
        seen = f"client property {name} moves offsets outside of the transactions: orders can be lost or doubled"
        yield PROBLEM, seen, f"take {name} out of KAFKA_ORDERS_KAFKA and --kafka"


def registry(seen: str, *, holds: bool, takes: bool | None) -> Told:
    """Judge whether the orders' subject in a schema registry has their schema, or would take it (None: unsaid)."""
    if takes is None:
        yield OK, f"{seen}; of a schema with imports it says only when it is registered whether it takes it", ""
    elif takes:
        yield OK, f"{seen}, this schema {'is one of them' if holds else 'would be taken as the next'}", ""
    else:
        fix = "`kafka-orders schema check` tells which field it is; mend --schema, or give it a topic of its own"
        yield PROBLEM, f"{seen} and does not take this schema: nothing can be sent, producers end (exit 4)", fix


def registry_away(code: int, why: str) -> Told:
    """Judge a schema registry that does not answer, or answers with an HTTP code."""
    fix = "start it, or mend KAFKA_ORDERS_REGISTRY_URL"
    if code in (401, 403):
        fix = "put the right login into KAFKA_ORDERS_REGISTRY_FILE: basic.auth.user.info=name:password"
    elif code == 404:
        fix = "mend the path in KAFKA_ORDERS_REGISTRY_URL: no schema registry is there"
    elif code >= 500:
        fix = "look into its log; it may be unable to read this schema"
    yield PROBLEM, f"{why}; orders of schemas that are not known yet wait", fix


def registry_unusable(why: str) -> Told:
    """Judge settings by which no schema registry can be asked."""
    yield PROBLEM, f"{why}; no role starts so", "mend KAFKA_ORDERS_REGISTRY_URL, or what else it names"


def limits(settings: Settings, broker: Mapping[str, str]) -> Told:
    """Judge settings that this broker does not take."""
    least, most = (int(broker.get(f"group.{end}.session.timeout.ms", "0")) for end in ("min", "max"))
    session, protocol = settings.session_timeout_ms, settings.group_protocol
    if protocol == "classic" and most and not least <= session <= most:
        seen = f"the broker refuses a session timeout of {session} ms: no consumer can join its group"
        yield PROBLEM, seen, f"set KAFKA_ORDERS_SESSION_TIMEOUT_MS to a value from {least} to {most}"
    if broker and protocol not in broker.get("group.coordinator.rebalance.protocols", "classic"):
        yield PROBLEM, f"the broker has no group protocol {protocol}", "set KAFKA_ORDERS_GROUP_PROTOCOL=classic"


def topics(wanted: list[TopicSpec], cluster: Cluster, configs: Mapping[str, Mapping[str, str]]) -> Told:
    """Judge settings, partitions and copies of the topics."""
    yield from ((PROBLEM, *one) for one in faults(wanted, configs))
    counts, brokers = {name: one.partitions for name, one in cluster.topics.items()}, cluster.brokers
    yield from ((WARNING, *one) for one in few(wanted, counts))
    for topic, one in cluster.topics.items():
        seen = f"topic {topic}: {one.partitions} partitions, {one.copies} copies on {brokers} brokers"
        if one.leaderless:
            yield PROBLEM, f"{seen}, {one.leaderless} partitions without a leader", "start the missing brokers"
        if one.copies < min(2, brokers):
            fix = f"kafka-reassign-partitions: spread {topic} over {min(3, brokers)} brokers"
            yield WARNING, f"{seen}: the loss of one broker loses orders", fix
        if one.copies >= 3 and configs[topic]["min.insync.replicas"] == "1":
            fix = f"kafka-configs --alter --topic {topic} --add-config min.insync.replicas={one.copies - 1}"
            yield WARNING, f"{seen}, min.insync.replicas 1: the loss of one broker can lose orders", fix


def retention(
    logs: Mapping[Slot, Bounds], committed: Mapping[Slot, int | None], young: Mapping[Slot, int]
) -> Told:
    """Judge what is unread; ``young`` is the first offset in the younger half of retention, -1 if all are old."""
    for slot, log in logs.items():
        read = committed[slot]
        if read is not None and read < log.start:
            yield (
                PROBLEM,
                f"{slot}: retention removed {log.start - read} offsets before they were read",
                _BEGIN_ANEW,
            )
        elif (read or log.start) < (log.end if young[slot] < 0 else young[slot]):
            seen = f"{slot}: unread orders have passed half of retention.ms; when it is over they are removed"
            yield WARNING, seen, f"{_CONSUME}, or raise retention.ms of {slot.topic}"


def groups(totals: Iterable[Lag], members: Mapping[str, int], viewer: str) -> Told:
    """Judge members and lag of each group; ``totals`` are one sum per group. The ``viewer`` may be away."""
    for one in totals:
        waiting = one.waiting or 0
        seen = f"{one.group}: {members[one.group]} members, lag {one.lag - waiting}, {waiting} not due yet"
        if one.group == viewer or members[one.group] or one.lag == waiting:
            yield OK, seen, ""
        else:
            yield WARNING, f"{seen}: nobody handles them", _CONSUME


def transactions(held_back: Mapping[Slot, int], servers: str) -> Told:
    """Judge partitions whose readers are held back by a transaction that does not end."""
    for slot, offset in sorted(held_back.items()):
        seen = f"{slot}: a transaction stays open at offset {offset}; what lies behind it is read by nobody"
        place = f"--topic {slot.topic} --partition {slot.partition} --start-offset {offset}"
        abort = f"kafka-transactions.sh --bootstrap-server {servers} abort {place} (find-hanging lists them)"
        yield PROBLEM, seen, f"end its producer, or: {abort}"


def clocks(seen: Clock) -> Told:
    """Judge the difference to the broker's clock; no worker trusts this machine's, so only views are shifted."""
    level = WARNING if abs(seen.ahead_ms) - seen.error_ms > _CLOCK_MS else OK
    fix = "synchronise the clocks (NTP); retries are on time all the same, only ages in views are off"
    told = f"this machine's clock is {seen.ahead_ms:+.0f} ms (± {seen.error_ms:.0f}) from the broker's"
    yield level, told, fix if level != OK else ""


def expiring(count: int, topic: str) -> Told:
    """Judge the open dead letters that retention removes within 72 hours."""
    if count:
        seen = f"{count} open dead letters of {topic} will be removed by retention within 72 h"
        yield WARNING, seen, "replay or discard them (`kafka-orders dlq list`), or raise the topic's retention.ms"
