"""Replays on a real broker: each dead letter is sent back once, whatever happens to the tools."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from kafka_orders.deadletters.hand import taken
from kafka_orders.deadletters.jobs import begun
from kafka_orders.deadletters.queue import open_queue
from kafka_orders.deadletters.replay import Options, Replay
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.standing import NOTHING_DONE
from kafka_orders.formats.opening import order_codec
from kafka_orders.pipeline.stop import Stop
from kafka_orders.views.verify import verify
from tests.support.deadletters import accept, die, refuse, replays, standings, statuses, work
from tests.support.pipeline import ROOT, Pipeline
from tests.support.waiting import eventually
from tests.support.witness import account, read_all

pytestmark = pytest.mark.broker


def dlq(line: Pipeline, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """Run a dead letter command; return its rows."""
    done = line.run("dlq", *words, "-o", "jsonl", "--quiet")
    assert done.returncode == code, done.stdout + done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


def assert_proved(line: Pipeline) -> None:
    verdict = verify(line.settings(), order_codec().decode, deep=True)
    assert verdict.findings == []


def test_a_replay_is_resolved_when_the_pipeline_says_so(line: Pipeline) -> None:
    """Sent and marked at once; resolved by the transaction that counts the order."""
    sent = die(line, 60)
    (row,) = dlq(line, "replay", "--reason", "the shop is open")
    assert (row["sent"], row["state"]) == (60, "done")
    assert statuses(line) == {"replaying": 60}
    assert work(line, accept, "retry") == 60
    assert statuses(line) == {"resolved": 60}
    assert {one["by"] for one in standings(line).values()} == {line.settings().retry_group}
    result = account(sent, line.settings().averages_topic, line.settings().dlq_topic, but=lambda _resolved: True)
    assert (result.lost, result.doubled) == (0, 0)
    assert_proved(line)


def test_what_dies_again_stands_for_itself_and_is_parked_in_the_end(line: Pipeline) -> None:
    """failed_again, a new dead letter with the same origin; after two replays it stays."""
    die(line, 10)
    for number, dead in ((1, 20), (2, 30)):
        assert dlq(line, "replay")[0]["sent"] == 10
        work(line, refuse, "retry")
        assert statuses(line) == {"failed_again": number * 10}
        assert len(read_all(line.bootstrap, line.settings().dlq_topic)) == dead
    assert dlq(line, "replay") == []
    assert dlq(line, "replay", "--max-replays", "3")[0]["sent"] == 10
    work(line, accept, "retry")
    assert statuses(line) == {"failed_again": 20, "resolved": 10}
    assert_proved(line)


def start(line: Pipeline, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kafka_orders", "dlq", *words, "--quiet", "-o", "jsonl"]
    return subprocess.Popen(command, cwd=ROOT, env=line.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_killed_twenty_times_pressed_twice_and_run_by_two_each_is_sent_once(line: Pipeline) -> None:
    """By identity, of 10,000; also where the second one takes over from the first."""
    count, chance = 10_000, random.Random(7)
    die(line, count)
    for number in range(20):
        before = statuses(line)["replaying"]
        tools = [start(line, "replay", "--rate", "400") for _ in range(1 + (number % 4 == 3))]
        eventually(lambda before=before: statuses(line)["replaying"] > before, 60, "it sends")
        time.sleep(chance.uniform(0, 0.15))  # a random moment, not a wait
        for tool in tools:
            tool.kill()
            tool.communicate()
    sent = replays(line)
    assert sent
    assert max(sent.values()) == 1
    left = count - len(sent)
    assert left > 0, "all were sent before the last kill: this shows less than it should"
    both = [start(line, "replay", "--resume", "latest"), start(line, "replay"), start(line, "replay")]
    ends = [(tool.communicate(), tool.returncode)[1] for tool in both]
    assert set(ends) <= {0, 1, 4}, ends
    dlq(line, "replay")
    assert dlq(line, "replay") == []
    sent = replays(line)
    assert (len(sent), max(sent.values())) == (count, 1)
    assert statuses(line) == {"replaying": count}
    work(line, accept, "retry")
    assert statuses(line) == {"resolved": count}
    assert_proved(line)


@pytest.mark.timed
def test_the_rate_is_held(line: Pipeline) -> None:
    """Within 5 %, seen from the records' own times."""
    die(line, 2_000)
    dlq(line, "replay", "--rate", "200")
    times = sorted(message.timestamp()[1] for message in read_all(line.bootstrap, line.settings().retry_topic))
    assert len(times) == 2_000
    assert (times[-1] - times[0]) / 1000 == pytest.approx(1_990 / 200, rel=0.05)


def test_a_discard_does_not_end_a_replay_and_ctrl_c_does(line: Pipeline) -> None:
    """It takes the epoch; the replay looks again and goes on with what is still open, until it is cancelled."""
    die(line, 600)
    tool = start(line, "replay", "--rate", "20")
    eventually(lambda: statuses(line)["replaying"] > 10, 60, "it sends")
    topic, sent = line.settings().dlq_topic, standings(line)
    names = [f"{topic}/{one.partition()}/{one.offset()}" for one in read_all(line.bootstrap, topic)]
    name = [one for one in names if one not in sent][-1]
    (row,) = dlq(line, "discard", "--id", name, "--reason", "a test order")
    assert row["sent"] == 1
    before = statuses(line)["replaying"]
    eventually(lambda: statuses(line)["replaying"] > before, 30, "it goes on")
    tool.send_signal(signal.SIGINT)
    (told, _), code = tool.communicate(), tool.returncode
    assert (code, json.loads(told)["state"]) == (130, "cancelled")
    left = 599 - statuses(line)["replaying"]
    assert left > 0
    assert dlq(line, "replay")[0]["sent"] == left
    assert statuses(line) == {"replaying": 599, "discarded": 1}
    assert max(replays(line).values()) == 1


def test_discarded_ones_are_not_replayed_until_they_are_restored(line: Pipeline) -> None:
    """With a reason, and reversible."""
    die(line, 8)
    assert line.run("dlq", "discard", "--yes").returncode == 2  # no reason
    assert line.run("dlq", "discard", "--reason", "old").returncode == 2  # no filter, nobody to type
    assert dlq(line, "discard", "--reason", "old", "--yes", "--limit", "3")[0]["sent"] == 3
    assert statuses(line) == {"discarded": 3}
    assert dlq(line, "replay")[0]["sent"] == 5
    assert dlq(line, "restore", "--yes")[0]["sent"] == 3
    assert statuses(line) == {"replaying": 5, "open": 3}
    assert dlq(line, "replay")[0]["sent"] == 3
    assert max(replays(line).values()) == 1


def test_to_the_orders_topic_it_is_an_order_again(line: Pipeline) -> None:
    """Main handles it; its headers resolve no dead letter, since anyone may write there."""
    die(line, 5)
    topic = line.settings().topic
    assert dlq(line, "replay", "--to", topic)[0]["sent"] == 5
    assert replays(line, topic).total() == 5
    assert {one["target"].rpartition("/")[0].rpartition("/")[0] for one in standings(line).values()} == {topic}
    assert work(line, accept, "main") == 5
    assert_proved(line)


def test_dry_run_and_prediction_change_nothing(line: Pipeline) -> None:
    """What would go where, and what would pass."""
    die(line, 12)
    rows = dlq(line, "replay", "--dry-run")
    assert {"what": f"to {line.settings().retry_topic}", "letters": 12} in rows
    assert {"what": "error kafka_orders.domain.errors.PermanentError", "letters": 12} in rows
    line.extra["HANDLER"] = "tests.support.deadletters:refuse"
    assert [row["letters"] for row in dlq(line, "replay", "--predict")] == [0, 12]
    line.extra["HANDLER"] = "tests.support.deadletters:accept"
    assert [row["letters"] for row in dlq(line, "replay", "--predict")] == [12]
    assert statuses(line) == {}


def test_wrong_names_are_said(line: Pipeline) -> None:
    """Nothing is sent."""
    die(line, 1)
    where = line.settings().dlq_topic
    for words, code, said in (
        (("--id", "nonsense"), 2, "TOPIC/PARTITION/OFFSET"),
        (("--id", f"{where}/0/999"), 1, "there is no dead letter"),
        (("--id", "elsewhere/0/0"), 2, "name its topic with --topic"),
        (("--group", "0123456789abcdef"), 1, "no dead letter is of group"),
        (("--resume", "latest"), 1, "no replay to resume"),
        (("--resume", "x"), 1, "there is no replay x"),
        (("--status", "nonsense"), 2, "is no status"),
        (("--to", where), 2, "only the pipeline itself writes there"),
        (("--since", "nonsense"), 2, "is no time"),
        (("--product", "Nothing"), 0, "nothing is selected"),
    ):
        done = line.run("dlq", "replay", *words)
        assert (done.returncode, said in done.stderr) == (code, True), (words, done)
    assert statuses(line) == {}


def test_the_reading_after_the_epoch_is_what_keeps_them_single(line: Pipeline) -> None:
    """The mutation check: a hand that trusts what it read before sends the letters again."""
    die(line, 20)
    settings, wanted = line.settings(), Selection()
    with open_queue(settings, order_codec().decode) as queue, taken(queue, Stop(), print) as hand:
        stale = SimpleNamespace(jobs={}, standing=lambda _letter: NOTHING_DONE, refresh=lambda: None)
        for book in (hand.book, stale):
            hand.book = book  # type: ignore[assignment]
            job = begun("replay", queue, wanted, "", {})
            Replay(queue, hand, job, Options(), Stop()).run()
    assert set(replays(line).values()) == {2}
