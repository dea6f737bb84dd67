"""The fault scenarios, short, on a real broker; `make faults` runs all of them, longer and by the hundred."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.run import run

SEED = int(os.environ.get("KAFKA_ORDERS_TEST_SEED", "20261126"))
SLICE = [
    "F1-kills-at-random", "F1-kills-at-points", "F2-zombies", "F3-slow-handler", "F4-rebalance-storm",
    "F4-rebalance-storm-new-protocol", "F5-only-broker-killed", "F8-late-end-of-transaction", "F10-answer-lost",
    "F12-poison-and-hostile-headers", "F14-one-identity-twice", "F15-state-and-offsets-lost",
    "F15-offsets-before-state", "F18-replays-killed",
]  # fmt: skip


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("name", SLICE)
def test_nothing_is_lost_or_doubled(name: str, bootstrap: str, tmp_path: Path) -> None:
    """The checker finds nothing, and the fault has met an open transaction where it should."""
    outcome = run(name, SEED, tmp_path / "run", bootstrap)
    print(outcome)
    assert outcome.problems == []
    assert outcome.fired
    assert outcome.report["orders"] > 1_000


@pytest.mark.broker
@pytest.mark.slow
def test_an_epoch_per_transaction_needs_no_timing(bootstrap: str, tmp_path: Path) -> None:
    """With the rule by time switched off, which alone turns F8 red (`make mutants`), it stays green."""
    outcome = run("F8-late-end-epoch-per-transaction", SEED, tmp_path / "run", bootstrap, mutant="no-recycle")
    print(outcome)
    assert outcome.problems == []
    assert outcome.notes["answers to late EndTxn"].get("47", 0) > 0
