"""Workers that start again and again while orders come: each goes on exactly where its state ends."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_orders.domain.records import Slot
from kafka_orders.log.admin import Admin
from kafka_orders.log.consumer import GroupConsumer
from kafka_orders.log.patience import Patience
from kafka_orders.pipeline.startup import connection_of
from tests.integration.test_worker import assert_exact, journal, work
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.broker


def check_restarts(line: Pipeline, times: int) -> None:
    """Start a worker ``times`` times, with new orders before each; then check every figure."""
    sent = journal(line, 200)
    work(line.settings(), most=200)
    for _ in range(times):
        sent.send(30)
        sent.finish()
        work(line.settings(), most=1, idle_polls=50)
    work(line.settings(), idle_polls=20)
    assert_exact(line, sent)


def test_a_start_goes_on_exactly_where_the_state_ends(line: Pipeline) -> None:
    """Restores are quick, so the client may still be busy with the assignment."""
    check_restarts(line, 8)


def test_a_client_that_goes_back_is_given_up_before_anything_is_counted(line: Pipeline, monkeypatch) -> None:
    """The defence behind it: whatever delivers counted records again, none of them is counted."""
    real, wrong = GroupConsumer.start_at, []

    def start_at(self: GroupConsumer, slot: Slot, offset: int) -> bool:
        if offset and len(wrong) < 3 * (1 + slot.partition):
            wrong.append(slot)
            return real(self, slot, 0)
        return real(self, slot, offset)

    monkeypatch.setattr(GroupConsumer, "start_at", start_at)
    check_restarts(line, 4)
    assert len(wrong) > 3


def test_a_start_behind_a_log_that_retention_has_cut(line: Pipeline) -> None:
    """The assignment's own offset is not in the log any more; the state's is."""
    sent = journal(line, 200)
    settings = line.settings()
    work(settings, most=200)
    work(settings)
    admin = Admin(connection_of(settings), Patience(limit=30))
    handled = admin.committed(settings.group, admin.slots(settings.topic))
    client = AdminClient({"bootstrap.servers": line.bootstrap})
    cut = [TopicPartition(*slot, offset) for slot, offset in handled.items() if offset]
    for future in client.delete_records(cut).values():
        future.result()
    for _ in range(4):
        sent.send(30)
        sent.finish()
        work(settings, most=1, idle_polls=50)
    work(settings, idle_polls=20)
    assert_exact(line, sent)
