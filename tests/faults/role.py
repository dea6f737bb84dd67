"""A role of the product with named points, for `python -m tests.faults.role consume …`; the product has no hooks.

At each point the process notes where it is in a file that outlives it, so that a campaign knows whether a SIGKILL
met an open transaction. ``KAFKA_ORDERS_TEST_AT=point:n:signal`` has it signal itself at its n-th arrival at a
point (`in-commit` from a thread of its own, while the client's call runs), ``KAFKA_ORDERS_TEST_CLOCK`` moves its
wall clock by seconds, ``KAFKA_ORDERS_TEST_MUTANT`` takes a defence away (`mutants.py`).
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Message, Producer

from kafka_orders.cli import main
from kafka_orders.log import standby
from kafka_orders.log.consumer import Slots
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.worker import Worker

#: A transaction is open between these and `committed`.
OPEN = frozenset({"before-produce", "before-offsets", "after-offsets", "in-commit"})
POINTS = ("before-begin", *sorted(OPEN), "committed", "in-revoke", "mid-restore")
#: An ordinary commit takes 1 to 3 ms; a kill inside it comes within so many seconds.
_COMMIT_SECONDS = 0.003


class Points:
    """Where this process is, told to a file, and what is to happen where."""

    def __init__(self, folder: str, at: str) -> None:
        self._file = os.open(Path(folder) / str(os.getpid()), os.O_CREAT | os.O_RDWR)
        point, number, name = at.split(":") if at else ("", "0", "SIGKILL")
        self._point, self._number, self._signal = point, int(number), signal.Signals[name]
        self._seen: Counter[str] = Counter()

    def reach(self, point: str) -> None:
        """Note the arrival at ``point``."""
        os.pwrite(self._file, point.ljust(32).encode(), 0)
        self._seen[point] += 1
        if point == self._point and self._seen[point] == self._number:
            if point == "in-commit":
                threading.Timer(random.uniform(0, _COMMIT_SECONDS), self._fire).start()
            else:
                self._fire()

    def _fire(self) -> None:
        os.pwrite(self._file, b"fired", 32)
        os.kill(os.getpid(), self._signal)


def read_point(folder: Path, pid: int) -> tuple[str, bool]:
    """Return where a process is, or was when it died, and whether its own signal has fired."""
    try:
        told = (folder / str(pid)).read_bytes()
    except FileNotFoundError:
        return "", False
    return told[:32].decode().strip(), told[32:] == b"fired"


def install(points: Points) -> None:
    """Have the product's classes tell where they are."""

    class Watched(Producer):
        def begin_transaction(self) -> None:
            points.reach("before-begin")  # a batch is gathered, and the group's metadata taken
            super().begin_transaction()
            points.reach("before-produce")

        def send_offsets_to_transaction(self, *what: Any) -> None:
            points.reach("before-offsets")
            super().send_offsets_to_transaction(*what)
            points.reach("after-offsets")

        def commit_transaction(self, *timeout: Any) -> None:
            points.reach("in-commit")
            super().commit_transaction(*timeout)
            points.reach("committed")

        def abort_transaction(self, *timeout: Any) -> None:
            super().abort_transaction(*timeout)
            points.reach("committed")

    standby.Producer = Watched  # type: ignore[misc]
    revoked, read = Worker._revoked, Reader.read

    def heard(self: Worker, slots: Slots) -> None:
        points.reach("in-revoke")
        revoked(self, slots)
        points.reach("committed")

    def reading(self: Reader, ranges: Any) -> Iterator[Message]:
        for number, message in enumerate(read(self, ranges)):
            if not number:
                points.reach("mid-restore")
            yield message
        points.reach("committed")

    Worker._revoked, Reader.read = heard, reading  # type: ignore[method-assign]


def move_clock(seconds: float) -> None:
    """Have this process believe another wall clock."""
    true = time.time
    time.time = lambda: true() + seconds
    from kafka_orders.pipeline import desk

    assert desk.Desk.__init__.__kwdefaults__["wall_clock"] is true, "the desk's clock is set elsewhere"
    desk.Desk.__init__.__kwdefaults__["wall_clock"] = time.time


if __name__ == "__main__":
    install(Points(os.environ["KAFKA_ORDERS_TEST_POINTS"], os.environ.get("KAFKA_ORDERS_TEST_AT", "")))
    if mutant := os.environ.get("KAFKA_ORDERS_TEST_MUTANT"):
        from tests.faults.mutants import MUTANTS

        if mutant != "none":
            MUTANTS[mutant].patch()
    if shift := os.environ.get("KAFKA_ORDERS_TEST_CLOCK"):
        move_clock(float(shift))
    main()
