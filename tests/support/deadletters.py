"""Dead letters made by the real roles, and what became of them, read with the bare client."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from kafka_orders.app import App
from kafka_orders.domain.errors import PermanentError
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.roles import RoleName, run_role
from kafka_orders.pipeline.stop import Stop
from tests.support.pipeline import Pipeline
from tests.support.witness import Journal, read_all


def refuse(_order: Any) -> None:
    """Fail for ever."""
    raise PermanentError("the shop is closed")


def accept(_order: Any) -> None:
    """Take the order."""


def work(line: Pipeline, handler: Callable[[Any], Any], role: RoleName, *, idle_polls: int = 10) -> int:
    """Run a role in this process until it is idle; return how many records it committed."""
    settings, stop, done, idle = line.settings(), Stop(), 0, 0

    def observer(batch: Any, state: Any) -> None:
        nonlocal done, idle
        done, idle = done + batch.size, 0 if batch.size or not state.progress else idle + 1
        if idle >= idle_polls:
            stop.request()

    watchdog = threading.Timer(120, stop.request)
    watchdog.start()
    try:
        run_role(role, settings, App(handler).job(settings), observer, stop)
    finally:
        watchdog.cancel()
    return done


def die(line: Pipeline, count: int) -> Journal:
    """Have ``count`` orders die at once."""
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    sent = Journal(line.bootstrap, settings.topic)
    sent.send(count)
    sent.finish()
    assert work(line, refuse, "main") == count
    return sent


def standings(line: Pipeline) -> dict[str, dict[str, Any]]:
    """Return the newest status record of each dead letter."""
    found = {}
    for message in read_all(line.bootstrap, line.settings().dlq_status_topic):
        key = (message.key() or b"").decode()
        if key.count("/") == 2:
            found[key] = json.loads(message.value() or b"{}")
    return found


def statuses(line: Pipeline) -> Counter[str]:
    """Return how many dead letters have each status."""
    return Counter(one["status"] for one in standings(line).values())


def replays(line: Pipeline, topic: str = "") -> Counter[str]:
    """Return how often each dead letter was sent back."""
    found = read_all(line.bootstrap, topic or line.settings().retry_topic)
    held = [dict(message.headers() or []) for message in found]
    return Counter(one["x-replay-of"].decode() for one in held if "x-replay-of" in one)  # type: ignore[union-attr]
