"""Handlers that misbehave, on the real broker: every order ends in one place, and is counted once or dead once."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kafka_orders.domain.errors import RetryAfter, UncommittableError
from kafka_orders.pipeline import upkeep
from kafka_orders.views.verify import verify
from tests.integration.test_worker import DECODE, assert_exact, journal, work
from tests.support.pipeline import Pipeline, Role
from tests.support.surroundings import send
from tests.support.waiting import eventually
from tests.support.witness import Journal, account, decode, encode, read_all

pytestmark = pytest.mark.broker

#: A member is thrown out of its group after this long without a poll: 6 s is the least of the classic protocol.
#: The new one throws out sooner, but lets the batch at hand be committed.
IMPATIENT = {"KAFKA": "max.poll.interval.ms=6000"}
MORE_IMPATIENT = {"KAFKA": "max.poll.interval.ms=2000", "GROUP_PROTOCOL": "consumer"}


class Odd(BaseException):
    """No Exception at all."""


class WithoutWords(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def _raise(error: BaseException) -> Callable[[], Any]:
    def raising() -> None:
        raise error

    return raising


def _recurse() -> None:
    _recurse()


#: What a handler does, and where the order is then: (topic, class of the error).
DEEDS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "base": (_raise(Odd("no Exception")), "dlq", f"{__name__}.Odd"),
    "exit": (sys.exit, "dlq", "builtins.SystemExit"),
    "exit_0": (lambda: sys.exit(0), "dlq", "builtins.SystemExit"),
    "interrupt": (_raise(KeyboardInterrupt()), "dlq", "builtins.KeyboardInterrupt"),
    "generator_exit": (_raise(GeneratorExit()), "dlq", "builtins.GeneratorExit"),
    "stop_iteration": (_raise(StopIteration()), "dlq", "builtins.StopIteration"),
    "cancelled": (_raise(asyncio.CancelledError()), "dlq", "asyncio.exceptions.CancelledError"),
    "no_words": (_raise(WithoutWords()), "dlq", f"{__name__}.WithoutWords"),
    "recursion": (_recurse, "dlq", "builtins.RecursionError"),
    "long": (_raise(ValueError("\0\ud800 long " * 100_000)), "dlq", "builtins.ValueError"),
    "memory": (_raise(MemoryError()), "dlq", "builtins.MemoryError"),
    "group": (_raise(ExceptionGroup("two", [ValueError(), OSError()])), "dlq", "builtins.ExceptionGroup"),
    "runtime": (_raise(RuntimeError("busy")), "retry", "builtins.RuntimeError"),
    "timeout": (_raise(TimeoutError()), "retry", "builtins.TimeoutError"),
    "broken_pipe": (_raise(BrokenPipeError()), "retry", "builtins.BrokenPipeError"),
}


def by_product(settings: Any, topic: str) -> dict[str, dict[str, str]]:
    """Return the headers of a topic's records by the product of their order."""
    found: dict[str, dict[str, str]] = {}
    for one in read_all(settings.bootstrap_servers, topic):
        held = {name: (value or b"").decode() for name, value in one.headers() or []}
        assert found.setdefault(decode(one.value() or b"")["product"], held) is held, "once"
    return found


def test_whatever_a_handler_raises_is_the_outcome_of_its_order(line: Pipeline) -> None:
    """BaseException, sys.exit() and what has no words: dead, stage process, and the worker goes on."""
    sent = journal(line, 50)
    settings = line.settings()
    send_deeds(line, sent, list(DEEDS))

    def handler(order: dict[str, Any]) -> Any:
        return DEEDS[order["product"]][0]() if order["product"] in DEEDS else None

    assert work(settings, handler) == 50 + len(DEEDS)
    found = {"dlq": by_product(settings, settings.dlq_topic), "retry": by_product(settings, settings.retry_topic)}
    for name, (_, topic, error) in DEEDS.items():
        held = found[topic].pop(name)
        assert (held["x-failure-stage"], held["x-exception-fqcn"]) == ("process", error)
        assert held["retryCount"] == ("1" if topic == "retry" else "0")
        assert len(held["error"].encode()) <= 1024
    assert found == {"dlq": {}, "retry": {}}
    verdict = verify(settings, DECODE, deep=True)
    waiting = sum(one[1] == "retry" for one in DEEDS.values())
    assert (verdict.findings, verdict.counted, verdict.waiting) == ([], 50, waiting)


def send_deeds(line: Pipeline, sent: Journal, names: list[str]) -> None:
    orders = [{"orderId": f"deed-{name}", "product": name, "price": 1.0} for name in names]
    records = [{"value": encode(one), "key": str(one["orderId"]).encode()} for one in orders]
    assert set(send(line.bootstrap, line.settings().topic, *records)) == {""}
    sent.acknowledged.update({str(one["orderId"]): one for one in orders})


async def _awaited() -> bytes:
    return b"awaited"


#: What a handler returns, and whether that can be a record of an output topic.
RETURNED: dict[str, tuple[Callable[[], Any], bool]] = {
    "number": (lambda: 7, False),
    "true": (lambda: True, False),
    "text": (lambda: "text", False),
    "list": (lambda: [1], False),
    "class": (lambda: dict, False),
    "object": (object, False),
    "wrong_dict": (lambda: {"no": "order"}, False),
    "nan_dict": (lambda: {"orderId": 1, "product": None, "price": "x"}, False),
    "nothing": (lambda: None, True),
    "bytes": (lambda: b"result", True),
    "no_bytes": (lambda: b"", True),
    "dict": (lambda: {"orderId": "result", "product": "P", "price": 1.0}, True),
    "coroutine": (_awaited, True),
}


@pytest.mark.parametrize("output", [True, False], ids=["with-output-topic", "without"])
def test_nonsense_from_a_handler_is_dead_where_it_matters_and_counted_where_not(line: Pipeline, output) -> None:
    """With an output topic, what cannot be a record there is dead; without one nobody wants it."""
    if output:
        line.extra["OUTPUT_TOPIC"] = f"{line.name}-results"
    sent = journal(line, 20)
    settings = line.settings()
    send_deeds(line, sent, list(RETURNED))

    def handler(order: dict[str, Any]) -> Any:
        return RETURNED[order["product"]][0]() if order["product"] in RETURNED else None

    assert work(settings, handler) == 20 + len(RETURNED)
    dead = by_product(settings, settings.dlq_topic)
    assert set(dead) == ({name for name, (_, good) in RETURNED.items() if not good} if output else set())
    assert {one["x-failure-stage"] for one in dead.values()} == ({"process"} if output else set())
    assert_exact(line, sent)
    if output:
        results = {
            (one.key() or b"").decode(): one.value() or b""
            for one in read_all(line.bootstrap, settings.output_topic)
        }
        order = encode({"orderId": "result", "product": "P", "price": 1.0})
        assert results == {
            "deed-bytes": b"result", "deed-no_bytes": b"", "deed-dict": order, "deed-coroutine": b"awaited"
        }  # fmt: skip


@pytest.mark.slow
def test_a_handler_past_the_poll_interval_is_tried_again_and_given_up_at_the_third_time(line: Pipeline) -> None:
    """Slow once: exact. Slow every time: exit 4 names the record and the setting, and nothing is lost."""
    line.extra.update(IMPATIENT, BATCH_SIZE="1")
    sent = journal(line, 20)
    calls: Counter[str] = Counter()
    slow = next(iter(sent.acknowledged))

    def handler(order: dict[str, Any]) -> None:
        calls[order["orderId"]] += 1
        if order["product"] == "hangs" or (order["orderId"] == slow and calls[slow] == 1):
            time.sleep(6.5)  # the misbehaviour itself

    assert work(line.settings(), handler) == 20
    assert calls[slow] == 2
    assert_exact(line, sent)
    send_deeds(line, sent, ["hangs"])
    with pytest.raises(UncommittableError, match=r"its handler took [67] s.*max\.poll\.interval\.ms") as refused:
        work(line.settings(), handler)
    assert refused.value.exit_code == 4
    assert f"record {line.settings().topic}/" in str(refused.value)
    assert "It is not lost" in str(refused.value)
    assert calls["deed-hangs"] == 3
    assert work(line.settings()) == 1
    assert_exact(line, sent)


def test_a_handler_slow_for_every_order_keeps_its_membership(line: Pipeline, caplog) -> None:
    """Longer than the poll interval all together, on what one poll brought: no rebalance, no order twice."""
    caplog.set_level(logging.INFO)
    line.extra.update(MORE_IMPATIENT)
    sent = journal(line, 16)
    calls: Counter[str] = Counter()

    def handler(order: dict[str, Any]) -> None:
        calls[order["orderId"]] += 1
        if len(calls) > 1:  # a batch that begins quickly fetches more than it comes to handle
            time.sleep(0.3)  # the misbehaviour itself

    assert work(line.settings(), handler) == 16
    assert set(calls.values()) == {1}
    assert len(calls) == 16
    actions = Counter(getattr(one, "action", "") for one in caplog.records)
    assert (actions["assigned"], actions["consumer_lost"], actions["aborted"]) == (1, 0, 0)
    assert_exact(line, sent)


def test_a_retry_that_was_asked_for_comes_at_its_time(line: Pipeline) -> None:
    """RetryAfter(0.5) where the policy says five seconds: never earlier by broker time, and not much later."""
    line.extra.update(RETRY_DELAY_MS="5000", MAX_RETRIES="4")
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    sent = journal(line, 1)

    def handler(_order: dict[str, Any]) -> None:
        raise RetryAfter(0.5)

    assert work(settings, handler) == 1
    assert work(settings, handler, role="retry", most=4, idle_polls=100) == 4
    waits = {}
    for one in read_all(line.bootstrap, settings.retry_topic):
        held = dict(one.headers())
        assert held["x-retry-after"] == b"500"
        waits[int(held["retryCount"])] = one.timestamp()[1]
    assert sorted(waits) == [1, 2, 3, 4]
    (dead,) = read_all(line.bootstrap, settings.dlq_topic)
    assert dict(dead.headers())["retryCount"] == b"4"
    times = [waits[number] for number in (2, 3, 4)] + [dead.timestamp()[1]]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) >= 500
    assert max(gaps) < 2500
    assert account(sent, settings.averages_topic, settings.dlq_topic).dead == 1
    assert verify(settings, DECODE, deep=True).findings == []


@pytest.mark.slow
def test_results_are_there_once_although_the_worker_is_killed_three_times(line: Pipeline) -> None:
    """Consume, transform, produce: 2000 orders, SIGKILL in the midst, each id once, the dead ones never."""
    line.extra.update(OUTPUT_TOPIC=f"{line.name}-results", BATCH_SIZE="40", SESSION_TIMEOUT_MS="6000")
    sent = journal(line, 2000)
    settings = line.settings()

    def start() -> Role:
        return line.start("-m", "kafka_orders", "consume", "--handler", "tests.acceptance.handlers:returns_its_id")

    def results() -> list[str]:
        return [(one.value() or b"").decode() for one in read_all(line.bootstrap, settings.output_topic)]

    role, seen = start(), 0
    for _ in range(3):
        seen = eventually(lambda before=seen: (n := len(results())) > before and n, 40, "more results")
        role.kill()
        role = start()
    assert seen < len(sent.acknowledged) * 0.8, "killed in the midst"
    alive = {one for one, order in sent.acknowledged.items() if order["product"] != "Item5"}
    eventually(lambda: len(results()) >= len(alive), 40, "all results")
    found = Counter(results())
    assert set(found) == alive
    assert set(found.values()) == {1}
    assert role.stop() == 0
    assert_exact(line, sent)
