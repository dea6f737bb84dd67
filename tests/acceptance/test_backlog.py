"""A long backlog: memory is bounded by what is fetched ahead, not by what waits."""

from __future__ import annotations

import psutil
import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.views.verify import verify
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = pytest.mark.broker

#: More than the client fetches ahead (100,000 records or 64 MiB), several times.
BACKLOG = 300_000
MOST_BYTES = 200_000_000


def test_memory_is_bounded_on_a_backlog(line: Pipeline) -> None:
    """Orders and failures alike; the peak is looked at until all is counted."""
    line.produce(BACKLOG)
    role = line.start("-m", "kafka_orders", "consume", FAIL="Item3", RETRY_DELAY_MS="3600000")
    process, peak = psutil.Process(role.process.pid), 0

    def done() -> bool:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        told = verify(line.settings(), order_codec().decode, deep=False)
        return told.counted + told.waiting == BACKLOG

    eventually(done, 90, "all handled")
    assert role.stop() == 0
    assert 20_000_000 < peak < MOST_BYTES
