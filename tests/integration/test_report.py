"""The report on a real broker: the same truth as the commands, kept up to date, whole after a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.pipeline import upkeep
from kafka_orders.report import Report, Reporter, reporting
from kafka_orders.report.live import Live
from tests.support.deadletters import accept, die, work
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually
from tests.support.witness import Journal

pytestmark = pytest.mark.broker


@pytest.fixture
def reporter(line: Pipeline) -> Iterator[Reporter]:
    upkeep.create(line.settings(), lambda _: None)
    with reporting(line.settings(), order_codec().decode) as made:
        yield made


def now() -> int:
    return int(time.time() * 1000)


def again(line: Pipeline) -> Report:
    """A report by somebody who has just started."""
    with reporting(line.settings(), order_codec().decode) as made:
        return made.refresh(now())


def settled(report: Report) -> tuple[object, ...]:
    """What two reports of the same topics have to agree on."""
    flow = report.flow
    counts = (flow.written, flow.counted, flow.retried, flow.dead, flow.waiting)
    # The sample of a group is the first one that was read, of whichever partition.
    groups = tuple(replace(one, sample="") for one in report.letters.groups)
    letters = replace(report.letters, groups=groups)
    return counts, report.overall, report.products, letters, sorted(report.failures, key=lambda one: one.id)


def test_it_begins_empty_and_follows_what_happens(line: Pipeline, reporter: Reporter) -> None:
    empty = reporter.refresh(now())
    assert (empty.flow.written, empty.letters.total, empty.bands) == (0, 0, ())
    assert [one.partitions for one in empty.topics] == [6, 8, 6, 6, 6]
    line.produce(50)
    assert reporter.refresh(now()).flow.written == 50
    unread = reporter.refresh(now())
    assert sum(one.lag for one in unread.lag) == 50
    assert all(one.seconds is not None for one in unread.lag if one.lag)
    assert work(line, accept, "main") == 50
    done = reporter.refresh(now())
    assert (done.flow.counted, done.overall.count, sum(one.lag for one in done.lag)) == (50, 50, 0)
    assert sum(one.count for one in done.products) == 50
    assert done.latency.samples >= 1
    assert done.history[-1].counted == 50


def test_a_restart_loses_nothing_history_included(line: Pipeline, reporter: Reporter) -> None:
    reporter.refresh(now())
    sent = die(line, 30)
    assert len(sent.acknowledged) == 30
    line.produce(20, seed=2)
    work(line, accept, "main")
    kept = reporter.refresh(now())
    anew = again(line)
    assert settled(kept) == settled(anew)
    assert kept.letters.statuses == {"open": 30}
    assert [one.letters for one in kept.letters.groups] == [30]
    assert len(anew.history) >= 2, "made from the times of the records"
    assert anew.history[0].counted < anew.history[-1].counted == 20


def test_statuses_and_notes_follow_the_tools(line: Pipeline, reporter: Reporter) -> None:
    die(line, 12)
    found = reporter.refresh(now())
    group = found.letters.groups[0]
    assert line.run("dlq", "discard", "--limit", "5", "--reason", "test", "--yes").returncode == 0
    assert reporter.refresh(now()).letters.statuses == {"open": 7, "discarded": 5}
    assert line.run("dlq", "note", group.fingerprint, "the shop").returncode == 0
    assert line.run("dlq", "replay", "--group", group.fingerprint, "--quiet").returncode == 0
    sent = reporter.refresh(now())
    assert sent.letters.statuses == {"replaying": 7, "discarded": 5}
    assert (sent.bands[0].attempt, sent.bands[0].waiting) == (0, 7)
    work(line, accept, "retry")
    done = reporter.refresh(now())
    assert done.letters.statuses == {"resolved": 7, "discarded": 5}
    assert done.letters.groups[0].note == "the shop"
    assert done.letters.oldest_open_ms is None
    assert (done.flow.counted, done.flow.waiting) == (7, 0)
    assert settled(done) == settled(again(line))


def test_a_reset_begins_anew(line: Pipeline, reporter: Reporter) -> None:
    die(line, 10)
    assert reporter.refresh(now()).letters.total == 10
    assert line.run("reset", "--yes").returncode == 0
    found = eventually(lambda: (one := reporter.refresh(now())).letters.total == 0 and one, 30)
    assert (found.flow.written, found.flow.dead, found.history[-1:]) == (0, 0, ())


def test_members_and_their_partitions(line: Pipeline, reporter: Reporter) -> None:
    role = line.start("-m", "kafka_orders", "consume")
    role.says("restored")
    with reporting(line.settings(), order_codec().decode) as fresh:
        main = fresh.refresh(now()).groups[0]
    assert (main.state, len(main.members)) == ("stable", 1)
    assert len(main.members[0].partitions) == 6


def test_an_open_transaction_holds_nobody_up(line: Pipeline, reporter: Reporter) -> None:
    from confluent_kafka import Producer

    line.produce(5)
    producer = Producer({"bootstrap.servers": line.bootstrap, "transactional.id": f"{line.name}-open"})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(line.settings().dlq_topic, b"never committed", partition=0)
    producer.flush()
    began = time.monotonic()
    assert reporter.refresh(now()).flow.written == 5
    assert time.monotonic() - began < 5.0
    producer.abort_transaction()


def test_a_live_report_says_that_it_is_old_and_comes_back(line: Pipeline) -> None:
    settings = line.settings()
    live = Live(settings, order_codec().decode)
    assert not live.ready
    live.start()
    try:
        eventually(lambda: "does not exist" in live.report.trouble, 30)
        upkeep.create(settings, lambda _: None)
        eventually(lambda: live.ready, 30)
        sent = Journal(line.bootstrap, settings.topic)
        sent.send(3)
        sent.finish()
        eventually(lambda: live.report.flow.written == 3, 10)
    finally:
        live.close()


def test_marks_of_transactions_are_no_lag(line: Pipeline, reporter: Reporter) -> None:
    """A replay to the orders topic leaves one behind its last record, which nobody handles."""
    die(line, 3)
    orders = line.settings().topic
    assert line.run("dlq", "replay", "--status", "open", "--to", orders).returncode == 0
    work(line, accept, "main")
    eventually(lambda: sum(one.lag for one in reporter.refresh(now()).lag) == 0, 20)
    line.produce(2, seed=9)
    eventually(lambda: sum(one.lag for one in reporter.refresh(now()).lag) >= 2, 20, "orders are")
