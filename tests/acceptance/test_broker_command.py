"""`kafka-orders broker start|stop|status` as a user types it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.conftest import CACHE
from tests.support.pipeline import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.skipif(
    bool(os.environ.get("KAFKA_ORDERS_TEST_BOOTSTRAP")), reason="another Kafka was asked for"
)]  # fmt: skip

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `kafka-orders broker …` in an empty working directory with a home that Java finds hard to spell."""
    home, here = tmp_path / "Jürgen, #1", tmp_path / "here"
    here.mkdir()
    env = {**os.environ, "KAFKA_ORDERS_HOME": str(home), "KAFKA_ORDERS_CACHE": str(CACHE), "PYTHONPATH": str(ROOT)}

    def broker(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kafka_orders", "broker", *words]
        return subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, timeout=90, check=False)

    return broker


def test_the_life_of_a_broker(run: Run, tmp_path: Path) -> None:
    """start, start again, status, another number of brokers, stop: output, exit codes, where the data lie.

    Its output is read through pipes to their end, so a JVM that inherited one would hang this test.
    """
    assert run("status").returncode == 1
    assert not (tmp_path / "Jürgen, #1").exists()
    try:
        started = run("start", "--port", "0", "-o", "json")
        assert started.returncode == 0, started.stderr
        first = json.loads(started.stdout)
        assert "starting Kafka" in started.stderr
        assert len(first["pids"]) == 1
        assert datetime.fromisoformat(first["started_at"]).tzinfo is not None

        again = run("start", "--quiet", "-o", "json")
        assert (again.returncode, json.loads(again.stdout), again.stderr) == (0, first, "")
        assert json.loads(run("status", "-o", "json").stdout) == first
        assert first["bootstrap_servers"] in run("status").stdout

        three = run("start", "--brokers", "3")
        assert (three.returncode, three.stdout) == (1, "")
        assert "--brokers 1" in three.stderr
    finally:
        stopped = run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "")
    assert "the data stays" in stopped.stderr
    assert run("status").returncode == 1
    assert run("stop").returncode == 0

    assert (tmp_path / "Jürgen, #1/kafka/broker-1/data/meta.properties").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Jürgen, #1", "here"]
    assert list((tmp_path / "here").iterdir()) == []
    assert all(Path(log).stat().st_size for log in first["logs"])


def test_a_taken_port_is_told_in_one_line(run: Run) -> None:
    """Exit 1, by whom, and a way out; stdout stays empty for those who read it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = run("start", "--port", str(taken.getsockname()[1]))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"(pid {os.getpid()})" in refused.stderr
    assert "--port 0" in refused.stderr
    assert "Traceback" not in refused.stderr
