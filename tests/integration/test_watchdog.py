"""The watchdog on a real broker: what stands still is noticed, and what only seems to is left alone."""

from __future__ import annotations

import logging
import time

import pytest
from confluent_kafka import Producer, TopicPartition

from kafka_orders.log.consumer import GroupConsumer
from kafka_orders.pipeline import watchdog
from tests.integration.test_worker import assert_exact, journal, work
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.broker


def test_a_silent_partition_gets_a_new_consumer_and_everything_is_counted(
    line: Pipeline, monkeypatch, caplog
) -> None:
    """The client was paused behind its owner's back: nothing fails, and two partitions never come."""
    sent = journal(line, 300)
    monkeypatch.setattr(watchdog, "STUCK_SECONDS", 3.0)
    caplog.set_level(logging.INFO)
    real, first = GroupConsumer.start_at, []

    def start_at(self: GroupConsumer, slot, offset) -> bool:
        started = real(self, slot, offset)
        first.append(self)
        if self is first[0] and slot.partition in (1, 2):
            self._consumer.pause([TopicPartition(*slot)])
        return started

    monkeypatch.setattr(GroupConsumer, "start_at", start_at)
    assert work(line.settings(), idle_polls=80) == 300
    assert_exact(line, sent)
    told = [one.getMessage() for one in caplog.records if "building a new one" in one.getMessage()]
    assert len(told) == 1
    assert f"{line.settings().topic}/" in told[0]
    assert "has stood at offset 0 for 3 s, with records up to" in told[0]


def test_idle_and_slow_workers_are_left_alone(line: Pipeline, monkeypatch, caplog) -> None:
    """Nothing to do for a while, then a handler of a second per order: one consumer all the time."""
    sent = journal(line, 60)
    monkeypatch.setattr(watchdog, "STUCK_SECONDS", 1.0)
    work(line.settings(), idle_polls=40)
    sent.send(6)
    sent.finish()
    line.extra["BATCH_MS"] = "1"
    work(line.settings(), lambda _order: time.sleep(0.7), idle_polls=30)
    assert_exact(line, sent)
    assert "building a new one" not in caplog.text


def test_an_open_transaction_is_told_once_and_no_consumer_is_given_up(line: Pipeline, monkeypatch, caplog) -> None:
    """A new consumer could not read past it either; when it ends, work goes on."""
    sent = journal(line, 60)
    settings = line.settings()
    monkeypatch.setattr(watchdog, "STUCK_SECONDS", 1.0)
    stranger = Producer({"bootstrap.servers": line.bootstrap, "transactional.id": line.name})
    stranger.init_transactions(10)
    stranger.begin_transaction()
    stranger.produce(settings.topic, b"\xff", b"open", partition=3)
    stranger.flush(10)
    assert work(settings, idle_polls=60) == 60
    told = [one.getMessage() for one in caplog.records if "a transaction is open there" in one.getMessage()]
    assert len(told) == 1
    assert f"{settings.topic}/3 cannot be read beyond offset" in told[0]
    assert "building a new one" not in caplog.text
    stranger.abort_transaction(10)
    sent.send(30)
    sent.finish()
    assert work(settings) == 30
    assert_exact(line, sent)
