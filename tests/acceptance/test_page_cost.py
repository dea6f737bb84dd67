"""What the page costs: CPU of its process, of the pipeline behind it, and memory over time (`make long`).

KAFKA_ORDERS_TEST_PAGE_MINUTES is how long a page stays open; without it, these are skipped.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition
from playwright.sync_api import Browser, Page, expect

from kafka_orders.local.checks import free_ports
from tests.support.browsing import browser
from tests.support.pipeline import Pipeline, Role

MINUTES = float(os.environ.get("KAFKA_ORDERS_TEST_PAGE_MINUTES", "0"))
RATE = 20_000
#: Windows with and without the page, in turn; each so many seconds.
ROUNDS, SECONDS = 4, 15.0

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not MINUTES, reason="a campaign: make long"),
    pytest.mark.timeout(MINUTES * 60 + 900),
]


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def serve(line: Pipeline, port: int) -> Role:
    role = line.start("-m", "kafka_orders", "serve", "--port", str(port))
    role.says("shows the pipeline", within=60)
    return role


def opened(chromium: Browser, port: int) -> Page:
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    expect(page.locator(".at-figure-producer")).not_to_have_text("0/s", timeout=30_000)
    return page


def spent(role: Role) -> float:
    times = psutil.Process(role.process.pid).cpu_times()
    return times.user + times.system


def shares(seconds: float, *roles: Role) -> list[float]:
    """Return the share of a core that each takes over some time."""
    before, began = [spent(one) for one in roles], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return [(spent(one) - was) / took for one, was in zip(roles, before, strict=True)]


def handled(line: Pipeline) -> int:
    """Return how many orders main has committed."""
    settings = line.settings()
    asker = Consumer({"bootstrap.servers": line.bootstrap, "group.id": settings.group})
    found = asker.committed([TopicPartition(settings.topic, number) for number in range(6)], 10)
    asker.close()
    return sum(max(0, one.offset) for one in found)


def test_five_pages_at_20_000_orders_a_second(line: Pipeline, chromium: Browser) -> None:
    (port,) = free_ports(1)
    main = line.start("-m", "kafka_orders", "consume")
    main.says("restored")
    line.start("-m", "kafka_orders", "produce", "--rate", str(RATE))
    with_page: list[tuple[float, float]] = []
    without: list[float] = []
    counted: dict[bool, list[float]] = {True: [], False: []}

    def window(*roles: Role) -> list[float]:
        before, began = handled(line), time.monotonic()
        found = shares(SECONDS, *roles)
        counted[len(roles) > 1].append((handled(line) - before) / (time.monotonic() - began))
        return found

    for _ in range(ROUNDS):
        role = serve(line, port)
        pages = [opened(chromium, port) for _ in range(5)]
        time.sleep(5.0)  # not a wait for something: the start is not part of the cost
        with_page.append(tuple(window(role, main)))  # type: ignore[arg-type]
        for page in pages:
            page.close()
        assert role.stop() == 0
        time.sleep(2.0)
        without.extend(window(main))
    cost = statistics.median(page for page, _ in with_page)
    ratio = statistics.median(main for _, main in with_page) / statistics.median(without)
    each = ", ".join(f"{one:.1%}" for one, _ in with_page)
    print(f"\n{RATE:,} orders/s, five pages: the page's process takes {cost:.1%} of a core ({each})")
    kept = statistics.median(counted[True]) / statistics.median(counted[False])
    print(f"with pages / without: orders counted {kept:.3f}, CPU of main {ratio:.3f}"
          f" ({statistics.median(counted[False]):,.0f} orders/s without)")  # fmt: skip
    assert cost < 0.15
    assert kept > 0.95
    assert ratio < 1.05


def test_a_page_left_open_does_not_grow(line: Pipeline, chromium: Browser) -> None:
    (port,) = free_ports(1)
    line.start("-m", "kafka_orders", "consume", FAIL="Item3", RETRY_DELAY_MS="500")
    line.start("-m", "kafka_orders", "retry", FAIL="Item3", RETRY_DELAY_MS="500")
    line.start("-m", "kafka_orders", "produce", "--rate", "20")
    role, page = serve(line, port), None
    page = opened(chromium, port)
    tools = page.context.new_cdp_session(page)

    def held() -> tuple[float, float, float]:
        tools.send("HeapProfiler.collectGarbage")
        heap = tools.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        nodes = tools.send("Memory.getDOMCounters")["nodes"]
        return heap, float(nodes), psutil.Process(role.process.pid).memory_info().rss / 1e6

    samples, began = [], time.monotonic()
    while time.monotonic() - began < MINUTES * 60:
        time.sleep(min(30.0, MINUTES * 3))
        samples.append(held())
    quarter = max(1, len(samples) // 4)
    early = [statistics.median(one[kind] for one in samples[quarter : 2 * quarter]) for kind in range(3)]
    late = [statistics.median(one[kind] for one in samples[-quarter:]) for kind in range(3)]
    print(f"\n{MINUTES:g} minutes: heap {early[0]:.1f} -> {late[0]:.1f} MB, nodes {early[1]:.0f} -> {late[1]:.0f},"
          f" the server's memory {early[2]:.0f} -> {late[2]:.0f} MB")  # fmt: skip
    assert late[0] < 1.2 * early[0] + 2
    assert late[1] < 1.2 * early[1] + 100
    assert late[2] < 1.2 * early[2] + 20
