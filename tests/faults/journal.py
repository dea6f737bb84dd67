"""The producer's journal: `python -m tests.faults.journal …` sends orders and keeps on disk what was acknowledged.

A line `s` before an order is sent, a line `a` after its report, each fsynced before the next step, so the journal
is right whenever the process is killed: an `s` without an `a` has an unknown outcome. Prices are whole numbers,
exact as float32. Nothing of the product is used.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from tests.support.witness import PRODUCTS, encode

_STEP_SECONDS = 0.05


@dataclass
class Told:
    """What a folder of journals says."""

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)


def read_journals(folder: Path) -> Told:
    """Return what all journals of a folder say; a line that a kill cut short says nothing."""
    told = Told()
    for file in sorted(folder.glob("*.journal")):
        for line in file.read_text().split("\n")[:-1]:
            kind, _, rest = line.partition(" ")
            if kind == "s":
                order = json.loads(rest)
                told.sent[order["orderId"]] = order
            else:
                told.acknowledged.add(rest)
    return told


def orders(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield orders that no other seed yields."""
    chance = random.Random(seed)
    for number in range(count):
        yield {
            "orderId": f"{seed}-{number:07d}-{chance.getrandbits(32):08x}",
            "product": chance.choice(PRODUCTS),
            "price": float(1 + number % 1_000_000),
        }


class Journal:
    """Sends orders with the bare client, and writes down each before and after."""

    def __init__(self, bootstrap: str, topic: str, file: Path) -> None:
        self._topic, self._reports = topic, list[str]()
        self._file = file.open("a")
        config: dict[str, Any] = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0}
        # As in the product's own producer (`log/clients.py` says why).
        config.update({"max.in.flight.requests.per.connection": 1, "linger.ms": 5})
        # A report is waited for through everything a campaign does to brokers: no unknown outcome but by a kill.
        self._producer = Producer({**config, "message.timeout.ms": 0, "reconnect.backoff.max.ms": 500})

    def write(self, lines: list[str]) -> None:
        """Write lines, on the disk when this returns."""
        if lines:
            self._file.write("".join(f"{line}\n" for line in lines))
            self._file.flush()
            os.fsync(self._file.fileno())

    def send(self, some: list[dict[str, Any]]) -> None:
        """Send orders."""
        self.write([f"s {json.dumps(order)}" for order in some])
        for order in some:
            key = order["orderId"].encode()
            self._producer.produce(self._topic, encode(order), key, on_delivery=self._reported)
        self.serve(0)

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._reports.append(f"a {(message.key() or b'').decode()}")

    def serve(self, seconds: float) -> int:
        """Take reports for some time; return how many orders still have none."""
        waiting = self._producer.flush(seconds) if seconds else self._producer.poll(0)
        done, self._reports = self._reports, []
        self.write(done)
        return waiting


def _run(told: argparse.Namespace) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    journal = Journal(told.bootstrap, told.topic, told.folder / f"{told.seed}.journal")
    step = max(1, int(told.rate * _STEP_SECONDS))
    source, started, sent = orders(told.seed, told.count), time.monotonic(), 0
    while not stopped and (some := [order for _, order in zip(range(step), source, strict=False)]):
        journal.send(some)
        sent += len(some)
        time.sleep(max(0.0, started + sent / told.rate - time.monotonic()))  # paces the load
    while journal.serve(1.0):
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in {
        "bootstrap": str,
        "topic": str,
        "folder": Path,
        "seed": int,
        "count": int,
        "rate": float,
    }.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    _run(parser.parse_args())
