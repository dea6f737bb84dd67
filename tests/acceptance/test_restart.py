"""Stop and start of everything, the broker included, with roles running or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.local import Cluster
from kafka_orders.views.verify import verify
from tests.conftest import CACHE
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually
from tests.support.witness import Journal, account

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.skipif(
    bool(os.environ.get("KAFKA_ORDERS_TEST_BOOTSTRAP")), reason="another Kafka was asked for"
)]  # fmt: skip

DECODE = order_codec().decode


def test_broker_and_roles_are_stopped_and_started_and_nothing_is_missing(tmp_path: Path, monkeypatch) -> None:
    """Averages, pending retries and dead letters stay; roles that kept running wait, say so, and go on."""
    monkeypatch.setenv("KAFKA_ORDERS_CACHE", str(CACHE))
    cluster = Cluster(tmp_path, port=None)
    line = Pipeline(cluster.start(progress=False).bootstrap_servers, tmp_path)
    line.extra.update(FAIL="Item3", RETRY_DELAY_MS="4000", MAX_RETRIES="2")
    try:
        assert line.run("topics", "create").returncode == 0
        settings = line.settings()
        sent = Journal(line.bootstrap, settings.topic)
        sent.send(100)
        sent.finish()
        main = line.start("-m", "kafka_orders", "consume")
        eventually(lambda: verify(settings, DECODE, deep=False).unread == 0, 30)
        before = verify(settings, DECODE, deep=True)
        assert before.findings == []
        assert before.waiting > 0
        assert main.stop() == 0
        assert cluster.stop()

        cluster.start(progress=False)
        after = verify(settings, DECODE, deep=True)
        assert (after.findings, after.counted, after.waiting) == ([], before.counted, before.waiting)

        roles = [line.start("-m", "kafka_orders", verb) for verb in ("consume", "retry")]
        for role in roles:
            role.says("restored")
        sent.send(100)
        sent.finish()
        cluster.kill()
        assert cluster.start(progress=False).bootstrap_servers == line.bootstrap, "killed, it still held its port"
        sent.send(100)
        sent.finish()

        def complete() -> bool:
            now = account(sent, settings.averages_topic, settings.dlq_topic)
            return (now.lost, now.doubled, now.wrong_sums) == (0, 0, [])

        eventually(complete, 90, "all 300 orders counted or dead")
        assert verify(settings, DECODE, deep=True).findings == []
        assert [role.stop() for role in roles] == [0, 0]
        assert "Traceback" not in "".join(role.text() for role in roles)
    finally:
        line.close()
        cluster.stop()
