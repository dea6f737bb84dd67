"""Client settings: the user's own pass through, but not over those on which the promise rests."""

import pytest

from kafka_orders.log.clients import Connection

#: What a stranger may have copied from some other consumer or producer.
COPIED = {
    "group.id": "other",
    "enable.auto.commit": "true",
    "enable.auto.offset.store": "true",
    "auto.offset.reset": "latest",
    "isolation.level": "read_uncommitted",
    "enable.idempotence": "false",
    "acks": "1",
    "max.in.flight.requests.per.connection": "5",
    "transactional.id": "mine",
    "retry.backoff.ms": "100",
    "retry.backoff.max.ms": "100",
    "transaction.timeout.ms": "900000",
    "client.rack": "eu-1",
}


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        ("member", {"group.id": "g", "enable.auto.commit": False, "enable.auto.offset.store": False,
                    "auto.offset.reset": "error", "isolation.level": "read_committed"}),
        ("reader", {"isolation.level": "read_committed"}),
        ("plain_producer", {"enable.idempotence": True, "acks": "all",
                            "max.in.flight.requests.per.connection": 1}),
        ("transactional_producer", {"enable.idempotence": True, "transactional.id": "g", "retry.backoff.ms": 500,
                                    "retry.backoff.max.ms": 1_000,
                                    "transaction.timeout.ms": 10_000}),
    ],
)  # fmt: skip
def test_no_property_is_stronger_than_the_promise(kind, ours) -> None:
    """With `auto.offset.reset=latest`, say, a lost range would be passed over in silence."""
    made = getattr(Connection("b:1", COPIED), kind)
    config = made("g") if kind in ("member", "transactional_producer") else made()
    assert ours.items() <= config.items()
    assert config["client.rack"] == "eu-1"


@pytest.mark.parametrize(("session", "heartbeat"), [(10_000, 500), (6_000, 500), (1_200, 400)])
def test_heartbeats_are_quick_and_at_least_three_a_session(session: int, heartbeat: int) -> None:
    """A member learns at its next heartbeat that another has left; the new protocol has it from the broker."""
    assert Connection("b", session_timeout_ms=session).member("g")["heartbeat.interval.ms"] == heartbeat
    assert "heartbeat.interval.ms" not in Connection("b", group_protocol="consumer").member("g")
