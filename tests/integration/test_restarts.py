"""Workers that start again and again while orders come: each goes on exactly where its state ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_orders.domain import bulk
from kafka_orders.domain.errors import TransactionFailedError
from kafka_orders.domain.records import Slot
from kafka_orders.log.admin import Admin
from kafka_orders.log.consumer import GroupConsumer
from kafka_orders.log.patience import Patience
from kafka_orders.log.transaction import TransactionalProducer
from kafka_orders.pipeline import state
from kafka_orders.pipeline.startup import connection_of
from tests.integration.test_worker import assert_exact, journal, work
from tests.support.pipeline import ROOT, Pipeline
from tests.support.waiting import eventually
from tests.support.witness import read_all

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


#: What is for thousands of products, for five.
SMALL = {state: {"FEW": 1, "OWED": 12, "_STEP": 3}, bulk: {"BLOCK": 2, "MOST_LIVE": 4}}


def kinds(line: Pipeline) -> set[str]:
    """Which kinds of records of many products the changelog holds."""
    keys = [(one.key() or b"").decode() for one in read_all(line.bootstrap, line.settings().averages_topic)]
    return {key.partition("#")[2].partition("-")[0] for key in keys if "#" in key}


def test_deltas_and_blocks_are_restored(line: Pipeline, monkeypatch) -> None:
    """Aborted transactions, restarts and few products in between: what the changelog says is exact each time."""
    for module, limits in SMALL.items():
        for name, limit in limits.items():
            monkeypatch.setattr(module, name, limit)
    real, calls = TransactionalProducer._flush, []

    def flush(self: TransactionalProducer, producer) -> None:
        real(self, producer)
        calls.append(1)
        if len(calls) % 5 == 0:
            raise TransactionFailedError("all was sent, and nothing committed")

    monkeypatch.setattr(TransactionalProducer, "_flush", flush)
    line.extra["BATCH_SIZE"] = "20"
    check_restarts(line, 6)
    assert kinds(line) == {"delta", "block"}


WORKER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from kafka_orders.domain import bulk
from kafka_orders.pipeline import state
state.FEW, state.OWED, state._STEP, bulk.BLOCK, bulk.MOST_LIVE = 1, 12, 3, 2, 4
from kafka_orders.cli import main
sys.argv[1:] = ["consume"]
main()
"""


@pytest.mark.slow
def test_deltas_and_blocks_survive_kills(line: Pipeline) -> None:
    """SIGKILL in the middle of the work; the next one goes on from the changelog."""
    sent = journal(line, 6000)
    line.extra["BATCH_SIZE"] = "10"
    averages = line.settings().averages_topic
    for _ in range(3):
        before = len(read_all(line.bootstrap, averages))
        worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=line.home, env={**os.environ, **line.env})
        eventually(lambda before=before: len(read_all(line.bootstrap, averages)) > before + 200, 30)
        worker.kill()
        worker.wait()
    assert work(line.settings(), idle_polls=20) > 0
    assert_exact(line, sent)
    assert kinds(line) == {"delta", "block"}
