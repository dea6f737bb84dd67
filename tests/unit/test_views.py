"""What is printed and logged."""

import json
import logging

from kafka_orders.deadletters.watch import describe
from kafka_orders.domain.averages import tally
from kafka_orders.domain.order import Contract
from kafka_orders.domain.policy import RetryPolicy
from kafka_orders.domain.records import Slot
from kafka_orders.domain.shards import Shards
from kafka_orders.log.producer import Report
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.desk import Desk
from kafka_orders.pipeline.handlers import Results
from kafka_orders.pipeline.handling import Handling
from kafka_orders.pipeline.state import State
from kafka_orders.views.console import LINES_PER_SECOND, Console
from kafka_orders.views.logs import JsonFormatter
from kafka_orders.views.producing import ProducerConsole
from tests.unit.values import CODEC, FORMAT, message, order


def batch_of(*messages) -> Batch:
    def handler(order):
        if order["product"] == "Bad":
            raise RuntimeError("t")

    batch = Batch()
    Handling(
        Contract().reader(FORMAT.decode), handler, Desk(RetryPolicy(), source_is_retry=False), Results()
    ).handle(list(messages), batch, Alarm())
    return batch


SHARDS = {Slot("orders", 0): Shards({"A": tally([2.0, 4.0])}), Slot("orders", 1): Shards({"B": tally([9.0])})}
STATE = State("g", shards=SHARDS)


def test_each_order_is_printed_with_its_averages() -> None:
    """And each failure with where it goes."""
    lines: list[str] = []
    Console(lines.append, lambda: 0.0)(
        batch_of(message(order(1, "A", 4.0)), message(order(2, "Bad"), offset=1)), STATE
    )
    assert lines[0] == "id-1  A  4.00   average of A 3.00 of 2   overall 5.00 of 3"
    assert lines[1] == "key  failed -> retry 1: t"


def test_a_flood_becomes_one_line_a_second() -> None:
    """At most about 20 lines a second; nothing is left untold when it ends."""
    now, lines = [0.0], []
    console = Console(lines.append, lambda: now[0])
    for _ in range(50):
        console(batch_of(*(message(order(n, "A"), offset=n) for n in range(10))), STATE)
    assert len(lines) == LINES_PER_SECOND
    now[0] = 1.5
    console(Batch(), STATE)
    assert lines[-1].startswith("480 orders in 1.5 s (320/s), 0 failed")
    console(Batch(), STATE)
    assert len(lines) == LINES_PER_SECOND + 1


def test_the_producer_prints_reports_and_every_failure() -> None:
    """A flood is summed up, an order that was not delivered never is."""
    now, lines = [0.0], []
    console = ProducerConsole(lines.append, lambda: now[0])
    told = {"orderId": "x", "product": "A", "price": 1.0}
    for _ in range(30):
        console(told, Report("orders/1/5", None))
    console(told, Report("orders/1", "timed out"))
    assert len(lines) == LINES_PER_SECOND + 1
    assert lines[-1] == "x  A  1.00  NOT delivered to orders/1: timed out"
    now[0] = 2.0
    console(told, Report("orders/1/6", None))
    assert "10 more delivered" in lines[-2]


def test_a_dead_letter_tells_what_died_and_why() -> None:
    """Key, decoded order, error, journey."""
    held = [("error", b"no stock"), ("retryCount", b"3"), ("x-original-topic", b"orders"),
            ("x-original-partition", b"1"), ("x-original-offset", b"7")]  # fmt: skip
    text = describe(message(order(5, "A", 2.0), topic="orders_dlq", key=b"id-5", headers=held), CODEC.decode)
    assert text.startswith("id-5  {'orderId': 'id-5', 'product': 'A', 'price': 2.0}  error: no stock")
    assert "from orders/1/7" in text
    assert "'price': 16.26}" in describe(message(order(5, "A", 16.26), topic="orders_dlq"), CODEC.decode)
    assert "retries 3" in text


def test_a_strangers_dead_letter_is_shown_safely() -> None:
    """Undecodable bytes, control characters, no headers."""
    text = describe(message(b"\xff", key=b"\x1b[31m\xff", headers=[("error", b"\x1b]0;x\x07")]), CODEC.decode)
    assert "<could not decode>" in text
    assert "\x1b" not in text
    assert "from <unknown>" in text


def test_json_log_lines_carry_their_facts() -> None:
    """One object with action and facts."""
    record = logging.makeLogRecord(
        {"name": "kafka_orders.main", "levelname": "INFO", "msg": "hi %s", "args": ("you",)}
    )
    record.action, record.size = "start", 3
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["action"], line["size"], line["level"]) == ("hi you", "start", 3, "info")
