"""Many dead letters: groups and lists keep up with the bare client, in bounded memory.

`make long` runs it with 1,000,000 (KAFKA_ORDERS_TEST_LETTERS), and prints the figures.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from kafka_orders.deadletters.groups import grouped
from kafka_orders.deadletters.queue import open_queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain import headers
from kafka_orders.domain.fingerprint import Failure, fingerprint
from kafka_orders.domain.headers import Journey, Origin
from kafka_orders.formats.avro import order_format
from kafka_orders.formats.opening import order_codec
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.heap import settled_heap
from kafka_orders.pipeline.startup import connection_of
from tests.support.pipeline import ROOT, Pipeline
from tests.support.witness import PRODUCTS

pytestmark = [pytest.mark.broker, pytest.mark.slow]

LETTERS = int(os.environ.get("KAFKA_ORDERS_TEST_LETTERS", "60000"))
#: At least so much of the rate at which the client hands over key, value and headers of each record.
SHARE = 1 / 3
STACK = "Traceback (most recent call last):\n" + '  File "shop.py", line 7, in sell\n    shelf.take(order)\n' * 8
NOW = int(time.time() * 1000)


def fill(line: Pipeline, count: int) -> None:
    """Write dead letters as the pipeline does, fast."""
    settings, form, chance = line.settings(), order_format(), random.Random(5)
    upkeep.create(settings, lambda _: None)
    client = Producer(
        {"bootstrap.servers": line.bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 200_000}
    )
    for number in range(count):
        bug = number % 20
        failure = Failure(
            f"shelf {bug} is closed", "shop.ShelfError", "process", fingerprint("c", f"{bug}", ""), STACK
        )
        journey = Journey(
            Origin(settings.topic, number % 6, number, NOW), 0, NOW, NOW - number * 10, settings.group
        )
        order = {"orderId": f"{number:09d}", "product": chance.choice(PRODUCTS), "price": 2.0}
        while True:
            try:
                client.produce(settings.dlq_topic, form.encode(order), order["orderId"],
                               headers=headers.build(None, journey, failure, with_stack=True))  # fmt: skip
            except BufferError:
                client.poll(0.1)
            else:
                break
    client.flush()


def raw(line: Pipeline, *, looks: bool = True) -> float:
    """Return records a second of a bare loop with the reader's settings; it may look at all of each."""
    consumer = Consumer(connection_of(line.settings()).reader())
    topic = line.settings().dlq_topic
    consumer.assign([TopicPartition(topic, one, 0) for one in range(line.settings().partitions)])
    seen = len(consumer.consume(1, 30))
    started = time.perf_counter()
    while seen < LETTERS:
        found = [one for one in consumer.consume(500, 0.02) if one.error() is None]
        seen += len(found)
        for one in found if looks else ():
            one.key(), one.value(), one.headers()
    took = time.perf_counter() - started
    consumer.close()
    return LETTERS / took


def timed(line: Pipeline, wanted: Selection, use: Callable) -> float:
    """Return letters a second of a look through all of them, from the first on."""
    seen: list[float] = []

    def told(*_: object) -> None:
        seen.append(time.perf_counter())

    with settled_heap(), open_queue(line.settings(), order_codec().decode, progress=told) as queue:
        use(queue.letters(wanted))
        took = time.perf_counter() - seen[0]
    return LETTERS / took


@pytest.mark.timed
@pytest.mark.timeout(1500)
def test_a_million_is_looked_through_at_a_third_of_the_clients_rate(line: Pipeline) -> None:
    """Groups of all, and a list by filters, interleaved with the bare loop; the best of some rounds."""
    fill(line, LETTERS)
    decode = order_codec().decode
    uses = {
        "groups": (Selection(), lambda found: grouped(found, decode, "product")),
        "list by product": (Selection(product="Item3"), lambda found: sum(1 for _ in found)),
        "list by text": (Selection(match="shelf 7 "), lambda found: sum(1 for _ in found)),
        "list by class and time": (
            Selection(error_class="ShelfError", since_ms=1),
            lambda found: sum(1 for _ in found),
        ),
    }
    shares: dict[str, list[float]] = {name: [] for name in uses}
    for _ in range(3 if LETTERS < 500_000 else 2):
        for name, (wanted, use) in uses.items():
            bare, rate, blind = raw(line), timed(line, wanted, use), raw(line, looks=False)
            print(f"{name}: {rate:,.0f} letters/s; the bare client {bare:,.0f}: {rate / bare:.2f};"
                  f" looking at nothing {blind:,.0f}: {rate / blind:.2f}")  # fmt: skip
            shares[name].append(rate / bare)
    assert {name: max(found) for name, found in shares.items() if max(found) < SHARE} == {}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read where Linux tells it")
def test_memory_does_not_grow_with_the_number_of_letters(line: Pipeline) -> None:
    """A process that groups them all stays small."""
    fill(line, LETTERS)
    code = (
        "import sys; from pathlib import Path; from kafka_orders.cli import main\n"
        "try: main()\n"
        "finally: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0], file=sys.stderr)"
    )  # not getrusage: there a child begins with its parent's
    done = subprocess.run([sys.executable, "-c", code, "dlq", "groups", "-o", "jsonl"], cwd=ROOT, env=line.env,
                          capture_output=True, text=True, timeout=300, check=True)  # fmt: skip
    peak = int(done.stderr.split()[-1]) // 1024
    print(f"groups of {LETTERS:,} dead letters: peak {peak} MB, {len(done.stdout.splitlines())} groups")
    assert len(done.stdout.splitlines()) == 20
    assert peak < 150
