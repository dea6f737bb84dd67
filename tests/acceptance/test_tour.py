"""The tour, as a presenter plays it: the four commands in a clone, on a real broker."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.views.verify import Verdict, verify
from tests.support.pipeline import MAIN, PRODUCER, RETRY, ROOT, VIEWER, Pipeline
from tests.support.waiting import eventually
from tests.support.witness import decode, read_all, shards

pytestmark = pytest.mark.broker


def clone(into: Path) -> Path:
    """Copy what git tracks, as a clone would have it."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, names):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, into / name)
    return into


def settled(line: Pipeline, within: float = 60.0) -> Verdict:
    """Wait until nothing is unread or waiting; return the deep verdict."""

    def quiet() -> bool:
        found = verify(line.settings(), order_codec().decode, deep=False)
        return found.unread == 0 and found.waiting == 0

    eventually(quiet, within, "nothing unread, nothing waiting")
    found = verify(line.settings(), order_codec().decode, deep=True)
    assert found.findings == []
    return found


def header(message, name: str) -> str:
    return dict(message.headers())[name].decode()


def place(message) -> tuple[str, str]:
    return header(message, "x-original-partition"), header(message, "x-original-offset")


@pytest.mark.slow
def test_the_simulated_failure_travels_through_three_retries_into_the_dlq(line: Pipeline, tmp_path: Path) -> None:
    """Uncommented in main, main restarted by hand, retry by itself; 2, 4, 8 seconds; once in the viewer."""
    copy = clone(tmp_path / "clone")
    viewer, retry, main = (line.start(*command, cwd=copy) for command in (VIEWER, RETRY, MAIN))
    for role, words in ((viewer, "watching"), (retry, "restored"), (main, "restored")):
        role.says(words)
    good = line.start(*PRODUCER, cwd=copy, RATE="50", COUNT="40", SEED="3")
    assert good.process.wait(60) == 0
    assert "delivered to" in good.text()
    assert settled(line).dead == 0

    source = copy / "consumer/main_consumer.py"
    text = source.read_text()
    failing = text.replace("    # if order", "    if order").replace(
        "    #     raise Runtime", "        raise Runtime"
    )
    assert failing != text
    source.write_text(failing)
    assert main.stop() == 0
    main = line.start(*MAIN, cwd=copy)
    main.says("restored")
    eventually(lambda: retry.text().count("restored") == 2, 30, "retry restarts itself")

    bad = line.start(*PRODUCER, cwd=copy, RATE="20", COUNT="40", SEED="4")
    assert bad.process.wait(60) == 0
    found = settled(line)

    settings = line.settings()
    dead = read_all(line.bootstrap, settings.dlq_topic)
    sent = read_all(line.bootstrap, settings.topic)[-40:]
    products = [decode(one.value() or b"")["product"] for one in sent]
    assert found.dead == len(dead) > 0
    assert {decode(one.value() or b"")["product"] for one in dead} == {"Item3"}
    assert "Item3" in products
    waits: dict[int, list[float]] = {1: [], 2: [], 3: []}
    retried = {
        (*place(one), header(one, "retryCount")): one for one in read_all(line.bootstrap, settings.retry_topic)
    }
    for one in dead:
        chain = [retried[(*place(one), str(number))] for number in (1, 2, 3)] + [one]
        for number, (before, after) in enumerate(itertools.pairwise(chain), 1):
            waits[number].append((after.timestamp()[1] - before.timestamp()[1]) / 1000)
        assert (header(one, "retryCount"), header(one, "error")) == ("3", "Simulated temporary error")
        key = (one.key() or b"").decode()
        eventually(lambda key=key: viewer.text().count(f"{key}  {{") == 1, 20, f"{key} once in the viewer")
    print({number: (min(found), max(found)) for number, found in waits.items()})
    for number, expected in ((1, 2.0), (2, 4.0), (3, 8.0)):
        assert expected <= min(waits[number])
        assert max(waits[number]) < expected * 1.1 + 1.5
    assert [role.stop() for role in (main, retry, viewer)] == [0, 0, 0]


@pytest.mark.parametrize("order", [(PRODUCER, VIEWER, RETRY, MAIN), (MAIN, PRODUCER, RETRY, VIEWER)])
def test_the_four_commands_start_in_any_order_on_an_empty_broker(line: Pipeline, order) -> None:
    """Whoever comes first makes the topics; all stop cleanly on Ctrl-C."""
    line.extra.update(RATE="100", COUNT="60", FAIL="Item3", RETRY_DELAY_MS="200")
    roles = {command: line.start(*command) for command in order}
    assert roles[PRODUCER].process.wait(60) == 0
    roles[MAIN].says("restored")
    found = settled(line)
    assert found.counted + found.dead == 60
    assert found.dead > 0
    assert roles[MAIN].stop() == 0
    assert [roles[RETRY].stop(), roles[VIEWER].stop()] == [0, 0]
    assert "average of" in roles[MAIN].text() or "overall average" in roles[MAIN].text()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_second_consumer_joins_and_leaves_while_orders_flow(line: Pipeline, protocol: str) -> None:
    """The same figures, with either rebalance protocol."""
    line.extra.update(BATCH_SIZE="100", GROUP_PROTOCOL=protocol)
    first = line.start("-m", "kafka_orders", "consume")
    first.says("restored")
    producer = line.start("-m", "kafka_orders", "produce", "--rate", "400", "--count", "4000")
    second = line.start("-m", "kafka_orders", "consume")
    second.says("restored")
    assert second.stop() == 0
    assert producer.process.wait(60) == 0
    assert settled(line).counted == 4000
    assert first.stop() == 0


def test_a_stopped_system_goes_on_where_it_was(line: Pipeline) -> None:
    """Averages, pending retries and dead letters are there after everything was stopped."""
    line.extra.update(FAIL="Item3", RETRY_DELAY_MS="6000", MAX_RETRIES="1")
    main = line.start("-m", "kafka_orders", "consume")
    main.says("restored")
    line.produce(50)
    before = eventually(lambda: (v := verify(line.settings(), decode_orders, deep=True)).unread == 0 and v, 30)
    assert main.stop() == 0
    assert before.waiting > 0
    counted, _ = shards(line.bootstrap, line.settings().averages_topic)
    again = line.start("-m", "kafka_orders", "consume")
    retry = line.start("-m", "kafka_orders", "retry")
    again.says("restored")
    after = settled(line)
    assert (after.counted, after.dead) == (before.counted, before.waiting)
    assert shards(line.bootstrap, line.settings().averages_topic)[0] == counted
    assert [again.stop(), retry.stop()] == [0, 0]


decode_orders = order_codec().decode


@pytest.mark.slow
def test_an_idle_role_commits_nothing_and_costs_nothing(line: Pipeline) -> None:
    """Under 2 % of a core and 150 MB, and not one transaction."""
    line.extra.update(LOG_FORMAT="json")
    roles = [line.start("-m", "kafka_orders", verb) for verb in ("consume", "retry")]
    for role in roles:
        role.says('"restored"')
    line.produce(20)
    settled(line)
    ends = [len(read_all(line.bootstrap, line.settings().averages_topic))]
    processes = [psutil.Process(role.process.pid) for role in roles]

    def used() -> list[float]:
        return [sum(one.cpu_times()[:2]) for one in processes]

    before, began = used(), time.monotonic()
    eventually(lambda: time.monotonic() - began > 5.0, 10)
    spent = [after - start for start, after in zip(before, used(), strict=True)]
    share = [one / (time.monotonic() - began) for one in spent]
    memory = [one.memory_info().rss / 2**20 for one in processes]
    print(f"idle: {[f'{one:.2%}' for one in share]} of a core, {[f'{one:.0f} MB' for one in memory]}")
    assert max(share) < 0.02
    assert max(memory) < 150
    ends.append(len(read_all(line.bootstrap, line.settings().averages_topic)))
    assert ends[0] == ends[1]
    assert [role.stop() for role in roles] == [0, 0]
    actions = [json.loads(one)["action"] for one in roles[0].text().splitlines() if one.startswith("{")]
    assert actions[:3] == ["start", "assigned", "restored"]
    assert actions[-1] == "stop"


def test_the_demo_proves_itself(line: Pipeline) -> None:
    """On a given broker: exit 0, averages, a journey, the proof."""
    line.extra["RETRY_DELAY_MS"] = "300"
    done = line.run("demo", "--bootstrap", line.bootstrap, "--orders", "60", within=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"proved order by order: 60 orders = \d+ counted .* 0 lost, 0 doubled", done.stdout)
    assert "retry 3 from" in done.stdout
    assert "killed (SIGKILL)" in done.stdout
