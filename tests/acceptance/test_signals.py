"""Signals, exit codes, and what is said when no broker answers."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from kafka_orders.local.checks import free_ports
from tests.support.pipeline import MAIN, PRODUCER, RETRY, VIEWER, Pipeline
from tests.support.waiting import eventually
from tests.support.witness import shards

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@posix
@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_commits_and_leaves(line: Pipeline, number) -> None:
    """Exit 0; what was handled is counted, and the group is left at once."""
    role = line.start("-m", "kafka_orders", "consume")
    role.says("restored")
    line.produce(50)
    eventually(lambda: sum(shards(line.bootstrap, line.settings().averages_topic)[0].values()) == 50, 30)
    began = time.monotonic()
    assert role.stop(number=number) == 0
    assert time.monotonic() - began < 5
    assert "left the group" in role.text()
    successor = line.start("-m", "kafka_orders", "consume")
    successor.says("restored", within=8)


@posix
@pytest.mark.broker
def test_the_second_signal_ends_at_once_and_loses_nothing(line: Pipeline) -> None:
    """Exit 130 while a handler hangs; the order is handled again by the next worker."""
    role = line.start("-m", "kafka_orders", "consume", "--handler", "tests.acceptance.handlers:hangs")
    role.says("restored")
    line.produce(1)
    role.says("hanging")
    role.process.send_signal(signal.SIGINT)
    role.process.send_signal(signal.SIGTERM)
    assert role.process.wait(10) == 130
    after = line.start("-m", "kafka_orders", "consume")
    after.says("restored")
    eventually(lambda: sum(shards(line.bootstrap, line.settings().averages_topic)[0].values()) == 1, 30)
    assert after.stop() == 0


def test_no_broker_is_said_with_both_ways_out(tmp_path) -> None:
    """Exit 3 after 15 seconds, for every role and for the commands."""
    line = Pipeline(f"127.0.0.1:{free_ports(1)[0]}", tmp_path)
    commands = (
        MAIN,
        RETRY,
        VIEWER,
        PRODUCER,
        ("-m", "kafka_orders", "verify"),
        ("-m", "kafka_orders", "reset", "--yes"),
    )
    began = time.monotonic()
    roles = [line.start(*command) for command in commands]
    try:
        for role in roles:
            assert role.process.wait(30) == 3
            assert "kafka-orders broker start" in role.text()
            assert "docker compose up -d" in role.text()
            assert "Connection refused" in role.text()
            assert "Traceback" not in role.text()
        assert 14 < time.monotonic() - began < 25
    finally:
        line.close()


@posix
def test_a_role_that_waits_for_its_first_broker_can_be_stopped(tmp_path) -> None:
    """Ctrl-C ends it cleanly."""
    line = Pipeline(f"127.0.0.1:{free_ports(1)[0]}", tmp_path)
    role = line.start(*MAIN)
    try:
        role.says("waiting for the broker", within=15)
        assert role.stop(within=10) == 0
    finally:
        line.close()
