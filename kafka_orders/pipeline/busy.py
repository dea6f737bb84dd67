"""Telling which record a handler has been busy with for long: whatever waits is visible."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kafka_orders.log.message import Message, offset_of, slot_of
from kafka_orders.pipeline.desk import Desk

#: A handler is told of when it had the same record at two looks, this many seconds apart.
LOOK_SECONDS = 20.0


@contextmanager
def watched(desk: Desk, tell: Callable[[str, float], None], every: float = LOOK_SECONDS) -> Iterator[None]:
    """Call ``tell(record, seconds)`` from a thread of its own while a handler does not come back.

    It only looks: the handler's thread is the worker's, and nothing can end a function in Python from
    outside. Costs nothing per record.
    """
    over = threading.Event()

    def look() -> None:
        before: Message | None = None
        seconds = 0.0
        while not over.wait(every):
            now = desk.message
            seconds = seconds + every if now is not None and now is before else 0.0
            if now is not None and seconds:
                tell(f"{slot_of(now)}/{offset_of(now)}", seconds)
            before = now

    threading.Thread(target=look, name="busy-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
