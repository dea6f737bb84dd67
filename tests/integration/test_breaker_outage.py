"""An outage under load: the workers pause, probe, and go on; nothing is flooded, lost, doubled or reordered."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.views.verify import verify
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually
from tests.support.witness import Journal, account, read_all

pytestmark = pytest.mark.broker

HANDLER = """
import pathlib
FLAG = pathlib.Path({flag!r})
SEEN = open({seen!r}, "a", buffering=1)
def handle(order):
    if FLAG.exists():
        raise ConnectionError("the warehouse does not answer")
    SEEN.write(order["orderId"] + "\\n")
def alive():
    if FLAG.exists():
        raise ConnectionError("the warehouse does not answer")
"""


def outage(line: Pipeline, tmp_path: Path, **settings: str) -> tuple[Journal, int, str]:
    """Let the dependency of a handler die and recover under load; return how many records waited for retry."""
    flag, seen = tmp_path / "away", tmp_path / "seen"
    (tmp_path / "warehouse.py").write_text(HANDLER.format(flag=str(flag), seen=str(seen)))
    line.extra.update(HANDLER="warehouse:handle", RETRY_DELAY_MS="200", BATCH_SIZE="500", **settings)
    assert line.run("topics", "create").returncode == 0
    sent = Journal(line.bootstrap, line.settings().topic)
    main = line.start("-m", "kafka_orders", "consume", cwd=tmp_path)
    retry = line.start("-m", "kafka_orders", "retry", cwd=tmp_path)
    for role in (main, retry):
        role.says("restored")
    sent.send(1_000)
    eventually(lambda: seen.exists() and len(seen.read_text().split()) >= 1_000, 30, "orders are handled")
    flag.touch()
    sent.send(4_000)
    if settings.get("BREAKER") != "0":
        main.says("pausing, since it is not about single records")
        at = time.monotonic()
        sent.send(1_000)
        eventually(lambda: time.monotonic() - at > 4, 10, "probes fail for a while")
        eventually(lambda: True in breakers(line), 10, "others can read that it is open")
    else:
        eventually(lambda: len(read_all(line.bootstrap, line.settings().dlq_topic)) > 0, 30, "flooded")
        sent.send(1_000)
    waiting = len(read_all(line.bootstrap, line.settings().retry_topic))
    flag.unlink()
    sent.finish()

    def drained() -> bool:
        verdict = verify(line.settings(), order_codec().decode, deep=False)
        return verdict.counted + verdict.dead == 6_000

    eventually(drained, 60, "all is handled")
    for role in (main, retry):
        assert role.stop() == 0, role.text()
    return sent, waiting, main.text()


def breakers(line: Pipeline) -> list[bool]:
    found = {}
    for message in read_all(line.bootstrap, line.settings().dlq_status_topic):
        if (message.key() or b"").startswith(b"breaker/"):
            found[message.key()] = bool(json.loads(message.value() or b"{}")["why"])
    return list(found.values())


def assert_exact(line: Pipeline, sent: Journal) -> None:
    result = account(sent, line.settings().averages_topic, line.settings().dlq_topic)
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])
    assert verify(line.settings(), order_codec().decode, deep=True).findings == []


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["", "warehouse:alive"])
def test_an_outage_is_waited_for(line: Pipeline, tmp_path: Path, probe: str) -> None:
    """No flood, nothing dead, each partition in its order, and the group is kept."""
    sent, waiting, said = outage(line, tmp_path, PROBE=probe)
    assert waiting < 600, "at most the batches before it was noticed"
    dead = read_all(line.bootstrap, line.settings().dlq_topic)
    assert len(dead) <= (0 if probe else waiting), "what was routed before the outage was noticed, without a probe"
    assert "going on after an outage" in said
    assert not any(breakers(line))
    assert said.count("assigned ") == 1, "it left the group"
    assert_exact(line, sent)
    first = {name: at for at, name in reversed(list(enumerate((tmp_path / "seen").read_text().split())))}
    retried = {
        dict(one.headers() or [])["x-original-offset"]
        for one in read_all(line.bootstrap, line.settings().retry_topic)
    }
    by_partition: dict[int, list[int]] = {}
    for one in read_all(line.bootstrap, line.settings().topic):
        if str(one.offset()).encode() not in retried:
            by_partition.setdefault(one.partition() or 0, []).append(first[(one.key() or b"").decode()])
    assert all(places == sorted(places) for places in by_partition.values())


@pytest.mark.slow
def test_without_it_retry_and_dead_letters_are_flooded(line: Pipeline, tmp_path: Path) -> None:
    """The off switch; and the mutation check of the test above."""
    sent, waiting, said = outage(line, tmp_path, BREAKER="0")
    assert waiting >= 4_000
    assert len(read_all(line.bootstrap, line.settings().dlq_topic)) > 0
    assert "pausing" not in said
    assert_exact(line, sent)
