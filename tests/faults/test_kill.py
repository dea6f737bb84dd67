"""SIGKILL of main and retry at random, with failures injected: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.support.pipeline import Pipeline, Role
from tests.support.waiting import eventually
from tests.support.witness import Account, Journal, account

KILLS = int(os.environ.get("KAFKA_ORDERS_TEST_KILLS", "20"))
ORDERS = int(os.environ.get("KAFKA_ORDERS_TEST_ORDERS", "20000"))
SEED = int(os.environ.get("KAFKA_ORDERS_TEST_SEED", "20261124"))

ROLES = {"consume": 2, "retry": 2}


def start(line: Pipeline, verb: str) -> Role:
    return line.start("-m", "kafka_orders", verb, "--handler", "tests.faults.handlers:flaky")


def kill_while_orders_flow(line: Pipeline, journal: Journal, chance: random.Random) -> int:
    """Kill and restart workers until enough kills and orders have happened; return the kills."""
    running = [(verb, start(line, verb)) for verb, number in ROLES.items() for _ in range(number)]
    running[0][1].says("restored")
    kills, next_kill = 0, time.monotonic() + 1.0
    while kills < KILLS or len(journal.acknowledged) < ORDERS:
        journal.send(60)
        if time.monotonic() >= next_kill:
            at = chance.randrange(len(running))
            verb, role = running[at]
            role.kill()
            running[at] = (verb, start(line, verb))
            kills, next_kill = kills + 1, time.monotonic() + chance.uniform(0.3, 2.5)
        time.sleep(0.05)  # paces the load; nothing is waited for
    journal.finish()
    for verb, role in running:
        assert role.process.poll() is None, f"{verb} ended by itself: {role.text()[-2000:]}"
    return kills


@pytest.mark.broker
@pytest.mark.slow
def test_twenty_kills_lose_and_double_nothing(line: Pipeline) -> None:
    """Main and retry are killed at random and restarted: every acknowledged order is counted or dead, once."""
    line.extra.update(RETRY_DELAY_MS="200", BATCH_SIZE="500", SESSION_TIMEOUT_MS="6000")
    assert line.run("topics", "create").returncode == 0
    settings = line.settings()
    journal = Journal(line.bootstrap, settings.topic, SEED)

    started = time.monotonic()
    kills = kill_while_orders_flow(line, journal, random.Random(SEED))

    def drained() -> Account | None:
        now = account(journal, settings.averages_topic, settings.dlq_topic)
        return now if now.lost == 0 else None

    result = eventually(drained, 120, "all orders counted or dead")
    print(f"seed {SEED}: {kills} kills, {len(journal.acknowledged)} orders, {result}, "
          f"{time.monotonic() - started:.0f} s")  # fmt: skip
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])
    assert kills >= KILLS
    assert result.counted + result.dead == len(journal.acknowledged) >= ORDERS
    assert result.dead > 0

    codes = [role.stop() for role in line.roles if role.process.poll() is None]
    assert codes == [0] * len(codes)
    verdict = line.run("verify", "--deep")
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
