"""What people read on a terminal, and machines in a log: few lines, complete figures, safe text."""

import json
import logging
import sys

import pytest

from kafka_orders.deadletters.watch import describe, printable
from kafka_orders.domain.averages import tally
from kafka_orders.domain.fingerprint import Failure
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.policy import Dead, Decision, Retry
from kafka_orders.domain.records import Slot
from kafka_orders.domain.shards import Shards
from kafka_orders.log.producer import Report
from kafka_orders.pipeline.batch import Batch, Counted, Routed
from kafka_orders.pipeline.state import State
from kafka_orders.programs import write_line
from kafka_orders.views import logs
from kafka_orders.views.console import LINES_PER_SECOND, Console, failure_line, name_of
from kafka_orders.views.logs import JsonFormatter
from kafka_orders.views.producing import ProducerConsole
from tests.unit.values import CODEC, message, order

SHARDS = {Slot("orders", 0): Shards({"A": tally([2.0, 4.0])}), Slot("orders", 1): Shards({"A": tally([9.0])})}
STATE = State("g", shards=SHARDS)
DEAD = Dead(0)
ORDER = {"orderId": "x", "product": "A", "price": 1.0}


def routed(decision: Decision = DEAD, **fields) -> Routed:
    failure = Failure("no stock", "m.Error", "process", "f")
    return Routed(message(**fields), Origin("orders", 1, 7), decision, failure, 0, 0)


def batch(good: int = 0, failed: int = 0) -> Batch:
    made = Batch(size=good + failed, sample=[Counted(ORDER, "A", 1.0)] * min(good, LINES_PER_SECOND))
    made.part(Slot("orders", 0), 0).routed.extend([routed()] * failed)
    return made


class Bench:
    def __init__(self, console=Console) -> None:
        self.lines: list[str] = []
        self.now = 50.0
        self.console = console(self.lines.append, lambda: self.now)


def test_an_average_is_over_all_partitions() -> None:
    """Of the product and overall."""
    bench = Bench()
    bench.console(batch(1), STATE)
    assert bench.lines == ["x  A  1.00   average of A 5.00 of 3   overall 5.00 of 3"]


def test_twenty_lines_a_second_are_printed_and_one_more_is_not() -> None:
    """The limit itself is still readable."""
    bench = Bench()
    bench.console(batch(15, 5), STATE)
    assert len(bench.lines) == LINES_PER_SECOND == 20
    bench.console(batch(1), STATE)
    assert len(bench.lines) == 20


def test_once_silent_it_stays_silent_for_the_second() -> None:
    """A small batch after a large one is counted, not printed out of order."""
    bench = Bench()
    bench.console(batch(100, 3), STATE)
    bench.console(batch(1), STATE)
    bench.now += 0.99
    bench.console(batch(0, 2), STATE)
    assert bench.lines == []
    bench.now += 1.01
    bench.console(batch(1), STATE)
    assert bench.lines[0] == "106 orders in 2.0 s (53/s), 5 failed   overall average 5.00 of 3"
    assert bench.lines[1].startswith("x  A")
    bench.now += 1.0
    bench.console(Batch(), STATE)
    assert len(bench.lines) == 2


def test_each_second_has_its_own_room() -> None:
    """After a full second it prints again."""
    bench = Bench()
    for _ in range(3):
        bench.console(batch(20), STATE)
        bench.now += 1.0
    assert len(bench.lines) == 60


def test_nothing_is_said_of_nothing() -> None:
    """An idle worker is quiet."""
    bench = Bench()
    for _ in range(5):
        bench.console(Batch(), STATE)
        bench.now += 5.0
    assert bench.lines == []


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (routed(Retry(2), key=b"k"), "k  failed -> retry 2: no stock"),
        (routed(Dead(3), key=b"k"), "k  failed -> dead letter queue: no stock"),
        (routed(key=None), "orders/1/7  failed -> dead letter queue: no stock"),
        (routed(key=b"\xff"), "\\xff  failed -> dead letter queue: no stock"),
    ],
)
def test_a_failure_is_one_line(one, expected) -> None:
    """Which record, where it goes, why."""
    assert failure_line(one) == expected


def test_an_order_is_called_by_its_id() -> None:
    """Where it has one."""
    assert [name_of(one) for one in (ORDER, {"orderId": 5}, {}, None, "text")] == [
        "x",
        "5",
        "order",
        "order",
        "order",
    ]


def test_delivered_orders_are_printed_twenty_a_second() -> None:
    """The rest is counted and told with the next second's first."""
    bench = Bench(ProducerConsole)
    for _ in range(25):
        bench.console(ORDER, Report("orders/1/5", None))
    assert bench.lines == ["x  A  1.00  delivered to orders/1/5"] * 20
    bench.now += 2.5
    bench.console(ORDER, Report("orders/1/6", None))
    assert bench.lines[20:] == ["... and 5 more delivered (2/s)", "x  A  1.00  delivered to orders/1/6"]
    bench.now += 1.0
    bench.console(ORDER, Report("orders/1/7", None))
    assert bench.lines[22:] == ["x  A  1.00  delivered to orders/1/7"]


def test_orders_that_were_not_delivered_are_all_told() -> None:
    """They are neither counted as delivered nor take room from those that were."""
    bench = Bench(ProducerConsole)
    for _ in range(30):
        bench.console(ORDER, Report("orders/1", "timed out"))
    assert bench.lines == ["x  A  1.00  NOT delivered to orders/1: timed out"] * 30
    bench.console(ORDER, Report("orders/1/5", None))
    bench.now += 1.0
    bench.console(ORDER, Report("orders/1/6", None))
    assert len(bench.lines) == 32


def test_the_producer_prints_to_stdout(capsys) -> None:
    """Its lines are its data."""
    ProducerConsole(write_line)(ORDER, Report("orders/1/5", None))
    assert capsys.readouterr() == ("x  A  1.00  delivered to orders/1/5\n", "")


def test_a_dead_letter_is_described_completely() -> None:
    """Key, order, error, and the whole journey."""
    held = [("error", b"no stock"), ("retryCount", b"3"), ("x-original-topic", b"orders"),
            ("x-original-partition", b"1"), ("x-original-offset", b"7"), ("x-failure-stage", b"process"),
            ("x-exception-fqcn", b"m.Error")]  # fmt: skip
    letter = message(order(5, "Ä", 2.0), topic="dlq", partition=2, offset=9, key=b"id-5", headers=held)
    assert describe(letter, CODEC.decode) == (
        "id-5  {'orderId': 'id-5', 'product': 'Ä', 'price': 2.0}  error: no stock\n"
        "    dlq/2/9  from orders/1/7  retries 3  stage process  m.Error"
    )


@pytest.mark.parametrize("value", [None, b"", b"\xff"])
def test_a_dead_letter_without_anything_is_described_too(value) -> None:
    """No key, no payload, no headers."""
    assert describe(message(value, key=None), CODEC.decode) == (
        "  <could not decode>  error: <none>\n    orders/0/0  from <unknown>  retries 0  stage <unknown>  "
    )


@pytest.mark.parametrize("name", ["error", "x-failure-stage", "x-exception-fqcn"])
def test_no_header_reaches_the_terminal_raw(name) -> None:
    """Escape sequences are shown, not obeyed; nor does the order's or the key's text get through."""
    letter = message(order(1, "\x1b[2J\n"), key=b"\x1b[2J", headers=[(name, b"\x1b[2J\r")])
    text = describe(letter, CODEC.decode)
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\r" not in text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, ""),
        (b"", ""),
        ("ä b", "ä b"),
        (b"a\xff", "a\\xff"),
        ("a\tb\u202e", "a\\tb\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_printed_is_printable(raw, expected) -> None:
    """Control characters, direction marks and broken bytes are spelled out."""
    assert printable(raw) == expected


def line_of(**fields) -> dict:
    record = logging.makeLogRecord({"name": "kafka_orders.main", "levelname": "WARNING", "msg": "said", **fields})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_json_line_has_no_more_than_it_should() -> None:
    """Time with its zone, level, logger, message, and the facts that were given."""
    line = line_of(created=0.0, action="start", size=3)
    assert line.pop("time")[-5] in "+-"
    assert line == {
        "level": "warning",
        "logger": "kafka_orders.main",
        "message": "said",
        "action": "start",
        "size": 3,
    }


def test_a_json_line_tells_any_fact_and_the_exception() -> None:
    """What JSON does not know is told as text; a traceback stays in its line."""
    try:
        raise ValueError("no\nstock")
    except ValueError:
        line = line_of(slot=Slot, where={1: object}, exc_info=sys.exc_info())
    assert "Slot" in line["slot"]
    assert line["exception"].endswith("ValueError: no\nstock")


@pytest.fixture
def package_logger():
    """The package's logger, put back as it was."""
    names = ("kafka_orders", "kafka_orders.client")
    found = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    root = found[0][0]
    handlers, propagate = root.handlers[:], root.propagate
    yield root
    root.handlers[:], root.propagate = handlers, propagate
    for logger, level in found:
        logger.setLevel(level)


@pytest.mark.parametrize(("style", "starts"), [("json", "{"), ("text", "")])
def test_logs_go_to_stderr_once(style, starts, package_logger, capsys) -> None:
    """However often it is set up; what the client complains of every second is not told."""
    logs.set_up(style)
    logs.set_up(style)
    package_logger.info("hello")
    package_logger.debug("details")
    logging.getLogger("kafka_orders.client").error("connection refused")
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "hello" in err) == ("", 1, True)
    assert err.startswith(starts)
    assert ("INFO    kafka_orders: hello" in err) is (style == "text")


def test_quiet_leaves_the_warnings(package_logger, capsys) -> None:
    """And what is worse."""
    logs.set_up("text", quiet=True)
    package_logger.info("hello")
    package_logger.warning("careful")
    assert "careful" in (err := capsys.readouterr().err)
    assert "hello" not in err
