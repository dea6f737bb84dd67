"""Handlers that take their time: progress without losing the membership, and a record that never comes through."""

from __future__ import annotations

import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.views.verify import verify
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually
from tests.support.witness import Journal, account

pytestmark = pytest.mark.broker

#: The shortest that the client takes: not below the session time-out.
SHORT = {"KAFKA": "max.poll.interval.ms=6000", "SESSION_TIMEOUT_MS": "6000"}


@pytest.mark.slow
def test_a_record_whose_handler_outlasts_the_group_is_named_beside_other_traffic(line: Pipeline) -> None:
    """Three times slow: exit 4 by its name; the others, before and after it, are counted exactly."""
    assert line.run("topics", "create").returncode == 0
    sent = Journal(line.bootstrap, line.settings().topic)
    sent.send(60)
    sent.finish()
    slow = line.start(
        "-m", "kafka_orders", "consume", "--handler", "tests.acceptance.handlers:sleeps_at_one", **SHORT
    )
    slow.says("undid a batch")
    sent.send(60)
    sent.finish()
    assert slow.process.wait(90) == 4
    assert "its handler took" in slow.text()
    assert "max.poll.interval.ms" in slow.text()
    assert slow.text().count("sleeping") == 3
    swift = line.start("-m", "kafka_orders", "consume")
    eventually(lambda: verify(line.settings(), order_codec().decode, deep=False).unread == 0, 30)
    assert swift.stop() == 0
    result = account(sent, line.settings().averages_topic, line.settings().dlq_topic)
    assert (result.lost, result.doubled, result.dead) == (0, 0, 0)
