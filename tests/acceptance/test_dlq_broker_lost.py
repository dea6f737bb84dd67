"""Dead letter commands without a broker, and with one that dies under a replay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kafka_orders.local import Cluster
from tests.support.deadletters import die, replays, statuses
from tests.support.pipeline import ROOT, Pipeline
from tests.support.waiting import eventually

VERBS = (
    ("list",), ("show", "orders_dlq/0/0"), ("groups",), ("stats",), ("note", "f", "x"), ("replay",),
    ("edit", "--set", "price=1"), ("discard", "--reason", "x", "--yes"), ("restore", "--yes"), ("export", "-"),
    ("import", "pyproject.toml"),
)  # fmt: skip


@pytest.mark.slow
def test_without_a_broker_each_verb_says_so(tmp_path: Path) -> None:
    """Exit 3, with the two ways to get one."""
    line = Pipeline("127.0.0.1:9", tmp_path)
    started = [
        subprocess.Popen([sys.executable, "-m", "kafka_orders", "dlq", *words], cwd=ROOT, env=line.env,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for words in VERBS
    ]  # fmt: skip
    for words, process in zip(VERBS, started, strict=True):
        _, said = process.communicate(timeout=90)
        assert (process.returncode, "no Kafka broker answers" in said) == (3, True), (words, said)
        assert "kafka-orders broker start" in said


@pytest.mark.broker
@pytest.mark.slow
def test_a_broker_that_dies_under_a_replay(bootstrap: str, tmp_path: Path) -> None:
    """The command waits, then says what was not done; the next one sends the rest, each once."""
    cluster = Cluster(tmp_path / "kafka", port=None)
    line = Pipeline(cluster.start(progress=False).bootstrap_servers, tmp_path)
    try:
        die(line, 300)
        tool = line.start("-m", "kafka_orders", "dlq", "replay", "--rate", "40")
        eventually(lambda: statuses(line)["replaying"] > 10, 60, "it sends")
        cluster.kill()
        assert tool.process.wait(120) == 3, tool.text()
        assert "no answer within" in tool.text()
        cluster.start(progress=False)
        sent = statuses(line)["replaying"]
        assert 10 < sent < 300
        done = line.run("dlq", "replay", "--resume", "latest", "--rate", "0", within=90)
        assert done.returncode == 0, done.stderr
        assert statuses(line) == {"replaying": 300}
        assert set(replays(line).values()) == {1}
    finally:
        line.close()
        cluster.stop()
