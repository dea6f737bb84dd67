"""``doctor``: what each fact means. Pure; the facts come from brokers in tests/integration/test_doctor.py."""

from __future__ import annotations

import pytest

from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.settings import Settings
from kafka_orders.log.diagnosis import Clock, Cluster, Layout
from kafka_orders.log.errors import unreached
from kafka_orders.log.topics import faults, specs
from kafka_orders.pipeline.startup import no_broker
from kafka_orders.views import doctor
from kafka_orders.views.lag import Lag

A, B, C = (Slot("orders", number) for number in range(3))
HELD = {"Python": "3.11.7", "confluent-kafka": "2.16.1", "librdkafka": "2.16.0", "jgo": "3.2.0"}


def levels(told: doctor.Told) -> list[str]:
    """Return the levels; a fix stands where something is not well, and only there."""
    found = list(told)
    assert all(bool(fix) == (level != "ok") for level, _, fix in found)
    return [level for level, _, _ in found]


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("librdkafka", "2.16.0", "ok"), ("librdkafka", "2.15.9", "warning"), ("librdkafka", "2.9.0", "warning"),
        ("confluent-kafka", "2.14.0rc1", "warning"), ("librdkafka", "3.0.0", "ok"), ("jgo", "", "ok"),
    ],
)  # fmt: skip
def test_old_clients_are_told(name: str, version: str, expected: str) -> None:
    """By number, not by letter; what only the embedded Kafka needs may be missing."""
    assert levels(doctor.versions({**HELD, name: version})) == [expected]


def test_a_missing_package_is_told() -> None:
    """And what it is for."""
    ((_, found, _),) = doctor.versions({**HELD, "jgo": ""})
    assert found.endswith("jgo not installed (only the embedded Kafka needs it)")


def test_properties_that_meddle_with_offsets_are_problems() -> None:
    """Others pass, and no value is repeated: it may be a password."""
    found = list(doctor.properties({"enable.auto.commit": "s3cret", "linger.ms": "5", "group.id": "x"}))
    assert [text.split()[2] for _, text, _ in found] == ["enable.auto.commit", "group.id"]
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("settings", "broker", "expected"),
    [
        ({"session_timeout_ms": 6000}, {"min": "6000", "max": "7000"}, []),
        ({"session_timeout_ms": 5999}, {"min": "6000", "max": "7000"}, ["problem"]),
        ({"session_timeout_ms": 7001}, {"min": "6000", "max": "7000"}, ["problem"]),
        ({"session_timeout_ms": 1000, "group_protocol": "consumer"}, {"min": "6000", "max": "7000"}, ["problem"]),
        ({"session_timeout_ms": 1000}, {}, []),
        ({"group_protocol": "consumer"}, {}, []),
    ],
)
def test_what_the_broker_does_not_take(settings: dict, broker: dict[str, str], expected: list[str]) -> None:
    """Known only where the broker tells its limits; without the new protocol's name it has not got it."""
    told = {f"group.{name}.session.timeout.ms": value for name, value in broker.items()}
    assert levels(doctor.limits(Settings(**settings), told)) == expected


def test_the_new_protocol_is_known_by_its_name() -> None:
    """In the list of the broker."""
    broker = {"group.coordinator.rebalance.protocols": "classic,consumer"}
    assert levels(doctor.limits(Settings(group_protocol="consumer"), broker)) == []


@pytest.mark.parametrize(
    ("brokers", "layout", "in_sync", "expected"),
    [
        (1, Layout(8, 1, 0), "1", []),
        (3, Layout(8, 1, 0), "1", ["warning"]),
        (3, Layout(8, 2, 0), "1", []),
        (3, Layout(8, 3, 0), "1", ["warning"]),
        (3, Layout(8, 3, 0), "2", []),
        (1, Layout(8, 1, 2), "1", ["problem"]),
        (1, Layout(4, 1, 0), "1", []),
        (1, Layout(3, 1, 0), "1", ["warning"]),
    ],
)
def test_partitions_and_copies(brokers: int, layout: Layout, in_sync: str, expected: list[str]) -> None:
    """One copy where there could be more, a single one in sync, no leader, fewer partitions than delays."""
    cluster = Cluster(brokers, {}, {"orders_retry": layout})
    wanted = [one for one in specs(Settings()) if one.name == "orders_retry"]
    configs = {"orders_retry": {**wanted[0].config, "min.insync.replicas": in_sync}}
    assert levels(doctor.topics(wanted, cluster, configs)) == expected


def test_room_for_headers_is_counted_from_what_orders_takes() -> None:
    """The topics' own limit, not Kafka's default; a missing topic is named first."""
    wanted = specs(Settings())
    well = {one.name: {"retention.ms": "-1", "max.message.bytes": "1048588", **one.config} for one in wanted}
    assert faults(wanted, well) == []
    well["orders"]["max.message.bytes"] = "1048589"
    found = faults(specs(Settings(), 1048589), well)
    assert [what.split(":")[0] for what, _ in found] == ["topic orders_retry", "topic orders_dlq"]
    assert found[0][1].endswith("max.message.bytes=1114125")
    del well["orders"]
    assert faults(wanted, well)[0][0] == "topic orders does not exist"


@pytest.mark.parametrize(
    ("log", "committed", "young", "expected"),
    [
        (Bounds(0, 10), 10, -1, []),
        (Bounds(0, 10), 9, -1, ["warning"]),
        (Bounds(0, 10), 5, 5, []),
        (Bounds(0, 10), 4, 5, ["warning"]),
        (Bounds(0, 10), None, 0, []),
        (Bounds(3, 10), None, 3, []),
        (Bounds(3, 10), 2, 3, ["problem"]),
        (Bounds(7, 7), 7, -1, []),
        (Bounds(0, 0), None, -1, []),
    ],
)
def test_retention_against_what_is_unread(
    log: Bounds, committed: int | None, young: int, expected: list[str]
) -> None:
    """The younger half of retention begins at ``young``; what is gone unread is a problem."""
    assert levels(doctor.retention({A: log}, {A: committed}, {A: young})) == expected


@pytest.mark.parametrize(
    ("members", "lag", "waiting", "expected"),
    [(0, 0, None, "ok"), (0, 5, None, "warning"), (1, 5, None, "ok"), (0, 5, 5, "ok"), (0, 6, 5, "warning")],
)
def test_work_without_a_worker_is_told(members: int, lag: int, waiting: int | None, expected: str) -> None:
    """What is not due yet needs none; nor does the viewer."""
    total = [Lag("main", Slot("orders", -1), None, 0, lag, waiting)]
    assert levels(doctor.groups(total, {"main": members}, "viewer")) == [expected]
    assert levels(doctor.groups(total, {"main": members}, "main")) == ["ok"]


def test_a_transaction_that_holds_back_readers() -> None:
    """Where it is, in the words that Kafka's tool takes."""
    ((level, _, fix),) = doctor.transactions({C: 7}, "here:1")
    assert level == "problem"
    assert "--bootstrap-server here:1 abort --topic orders --partition 2 --start-offset 7" in fix


@pytest.mark.parametrize(
    ("ahead", "error", "expected"),
    [(0, 1, "ok"), (-999, 0, "ok"), (-1500, 100, "warning"), (3000, 2500, "ok"), (86_400_000, 20, "warning")],
)
def test_a_clock_that_is_off_for_certain(ahead: float, error: float, expected: str) -> None:
    """Beyond what the measurement itself may be wrong."""
    assert levels(doctor.clocks(Clock(ahead, error))) == [expected]


def test_the_telling_reason_is_told() -> None:
    """A refused password beats a port that is closed elsewhere; without any word, how to start a broker."""
    refused = "b:1/bootstrap: Connect to ipv4#b:1 failed: Connection refused"
    password = "a:1/bootstrap: SASL authentication error: Authentication failed"
    assert unreached([refused, password, refused])[0] == f"it refuses user name or password ({password})"
    assert "kafka-orders broker start" not in unreached([refused, password])[1]
    assert "kafka-orders broker start" in unreached([])[1]
    said = no_broker("b:1", [refused])
    assert said.startswith(
        f"no Kafka broker answers at b:1: nothing listens there ({refused}). No order was touched."
    )
