"""Records from strangers, on the real broker: where each ends, and that the good ones beside them count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Message

from kafka_orders.domain.errors import UncommittableError
from kafka_orders.pipeline import upkeep
from kafka_orders.views.verify import verify
from tests.integration.test_worker import DECODE, journal, work
from tests.support.pipeline import Pipeline
from tests.support.surroundings import alter_topic, create_topic, send
from tests.support.witness import Journal, account, encode, read_all

pytestmark = pytest.mark.broker

ORDER = {"orderId": "b1", "product": "Item1", "price": 7.0}
GOOD = encode(ORDER)
#: Kafka's default of max.message.bytes, and what a batch of one record with a 3-byte key takes of it.
MOST, AROUND = 1_048_588, 61 + 11 + 3
#: A megabyte of an order that is refused for its price: the longest payload that fits.
LARGE = encode({"orderId": "x", "product": "p" * (MOST - AROUND - 9), "price": -1.0})


@dataclass
class Case:
    """A record, and what becomes of it: dead at a stage, ``skipped`` or ``counted``."""

    value: bytes | None
    ends: str
    key: bytes | None = b"bad"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


CASES = {
    "truncated": Case(GOOD[:-1], "decode"),
    "trailing": Case(GOOD + b"\0", "decode"),
    "no_bytes": Case(b"", "decode"),
    "null": Case(None, "skipped"),
    "null_value_and_key": Case(None, "skipped", None),
    "random": Case(b"\xff" * 40, "decode"),
    "json": Case(json.dumps(ORDER).encode(), "decode"),
    "not_utf8": Case(GOOD.replace(b"Item1", b"It\xff\xfe1"), "decode"),
    "nan": Case(encode({**ORDER, "price": float("nan")}), "validate"),
    "infinite": Case(encode({**ORDER, "price": float("inf")}), "validate"),
    "minus_infinite": Case(encode({**ORDER, "price": float("-inf")}), "validate"),
    "negative": Case(encode({**ORDER, "price": -0.01}), "validate"),
    "no_id": Case(encode({**ORDER, "orderId": ""}), "validate"),
    "null_key": Case(encode({**ORDER, "orderId": "no-key"}), "counted", None),
    "null_key_dead": Case(GOOD[:-1], "decode", None),
    "count_absurd": Case(GOOD[:-1], "decode", headers=[("retryCount", b"9" * 400)]),
    "count_believable": Case(GOOD[:-1], "decode", headers=[("retryCount", b"2")]),
    "count_repeated": Case(GOOD[:-1], "decode", headers=[("retryCount", b"1"), ("retryCount", b"3")]),
    "count_not_utf8": Case(GOOD[:-1], "decode", headers=[("retryCount", b"\xff")]),
    "count_null": Case(GOOD[:-1], "decode", headers=[("retryCount", None)]),
    "origin_forged": Case(GOOD[:-1], "decode", headers=[
        ("x-original-topic", b"elsewhere"), ("x-original-partition", b"1"), ("x-original-offset", b"4"),
    ]),
    "headers_many": Case(GOOD[:-1], "decode", headers=[(f"h{n % 7}", b"\xff" * n) for n in range(500)]),
    "headers_on_a_good_one": Case(
        encode({**ORDER, "orderId": "hdr"}), "counted", headers=[("retryCount", b"x"), ("", b""), ("\u00e4", None)]
    ),
}  # fmt: skip
#: Names that the pipeline takes from a stranger's record and writes anew.
OURS = ("retryCount", "x-original-topic", "x-original-partition", "x-original-offset")


@dataclass
class Fed:
    """A pipeline that was fed all cases among good orders."""

    line: Pipeline
    sent: Journal
    handled: int
    dead: dict[str, Message]


def dead_letters(line: Pipeline) -> list[Message]:
    return read_all(line.bootstrap, line.settings().dlq_topic)


def case_of(message: Message) -> str:
    return dict(message.headers() or []).get("case", b"").decode()


@pytest.fixture(scope="module")
def fed(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    """One worker, one load: 200 good orders, and every case in the midst of them."""
    line = Pipeline(bootstrap, tmp_path_factory.mktemp("fed"))
    sent = journal(line, 100)
    records = [
        {
            "value": one.value,
            "key": one.key,
            "partition": number % 6,
            "headers": [("case", name.encode()), *one.headers],
        }
        for number, (name, one) in enumerate(CASES.items())
    ]
    assert set(send(bootstrap, line.settings().topic, *records)) == {""}
    sent.send(100)
    sent.finish()
    for one in CASES.values():
        if one.ends == "counted" and one.value:
            order = DECODE(one.value)
            sent.acknowledged[order["orderId"]] = order
    handled = work(line.settings())
    dead = dead_letters(line)
    assert len({case_of(one) for one in dead}) == len(dead)
    yield Fed(line, sent, handled, {case_of(one): one for one in dead})
    line.close()


@pytest.mark.parametrize("name", CASES)
def test_a_bad_record_ends_where_it_should(fed: Fed, name: str) -> None:
    """Dead with its stage, its bytes and its own headers as they came, ours written once; or not dead at all."""
    case = CASES[name]
    if case.ends in ("counted", "skipped"):
        assert name not in fed.dead
        return
    dead = fed.dead[name]
    held = dead.headers() or []
    assert (dead.value() or b"", dead.key()) == (case.value, case.key)
    assert [one for one in held if one[0].startswith("h")] == [one for one in case.headers if one[0] not in OURS]
    assert all(len([key for key, _ in held if key == ours]) == 1 for ours in OURS)
    found = dict(held)
    assert (found["x-failure-stage"], found["retryCount"]) == (case.ends.encode(), b"0")
    assert found["x-original-topic"] == fed.line.settings().topic.encode()
    assert found["x-original-partition"] == str(list(CASES).index(name) % 6).encode()
    assert found["error"]


def test_the_good_orders_among_bad_records_are_counted_exactly(fed: Fed) -> None:
    """Nothing lost, nothing doubled, and the deep proof holds with all of it."""
    settings = fed.line.settings()
    assert fed.handled == 200 + len(CASES)
    result = account(fed.sent, settings.averages_topic, settings.dlq_topic, but=lambda one: bool(case_of(one)))
    assert (result.lost, result.doubled, result.wrong_sums, result.counted) == (0, 0, [], 202)
    assert read_all(fed.line.bootstrap, settings.retry_topic) == []
    verdict = verify(settings, DECODE, deep=True)
    skipped = sum(one.ends == "skipped" for one in CASES.values())
    assert (verdict.findings, verdict.dead, verdict.skipped) == ([], len(CASES) - 2 - skipped, skipped)


@pytest.mark.parametrize(
    ("count", "goes"),
    [([b"99999999999"], "1"), ([b"2", b"2"], "1"), ([b"\xff"], "1"), ([b"-1"], "1"), ([b"1.5"], "1"),
     ([None], "1"), ([], "1"), ([b"2"], "3"), ([b"999"], "dead")],
    ids=["absurd", "repeated", "not-utf8", "negative", "fraction", "null", "missing", "sound", "beyond"],
)  # fmt: skip
def test_a_strangers_retry_count_on_the_retry_topic(
    retried: dict[str, tuple[str, str]], count: Any, goes: str
) -> None:
    """What is no count is none: the record starts at retry 1. Beyond the most it is dead, with its count."""
    where, found = retried[str(count)]
    assert (where, found) == (("dlq", "999") if goes == "dead" else ("retry", goes))


@pytest.fixture(scope="module")
def retried(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, str]]]:
    """Feed the retry topic with strangers' counts and let each fail once more; where each went, and its count."""
    line = Pipeline(bootstrap, tmp_path_factory.mktemp("retried"), extra={"RETRY_DELAY_MS": "0"})
    settings = line.settings()
    upkeep.create(settings, lambda _: None)
    counts: list[list[bytes | None]] = [
        [b"99999999999"], [b"2", b"2"], [b"\xff"], [b"-1"], [b"1.5"], [None], [], [b"2"], [b"999"]
    ]  # fmt: skip
    records = [
        {"value": GOOD, "key": b"r", "headers": [("case", str(one).encode()), *(("retryCount", n) for n in one)]}
        for one in counts
    ]
    assert set(send(bootstrap, settings.retry_topic, *records)) == {""}

    def fails(_order: Any) -> None:
        raise ConnectionError("still down")

    work(settings, fails, role="retry", most=len(counts))
    went: dict[str, tuple[str, str]] = {}
    for where, topic in (("retry", settings.retry_topic), ("dlq", settings.dlq_topic)):
        for one in read_all(bootstrap, topic):
            found = dict(one.headers() or [])
            if "x-failed-at" in found:
                went.setdefault(case_of(one), (where, found["retryCount"].decode()))
    yield went
    line.close()


def test_a_record_of_exactly_the_maximum_size_goes_where_it_must_with_headers_added(line: Pipeline) -> None:
    """One to the dead letter queue, one to retry, whole; a byte more the broker does not take at all."""
    sent = journal(line, 20)
    settings = line.settings()
    temporary = LARGE[:-4] + GOOD[-4:]
    large = [{"value": one, "key": b"big", "partition": 2} for one in (LARGE, temporary, LARGE + b"\0")]
    said = send(line.bootstrap, settings.topic, *large, client={"message.max.bytes": 2_000_000})
    assert said == ["", "", "MSG_SIZE_TOO_LARGE"]

    def handler(order: dict[str, Any]) -> None:
        if len(order["product"]) > 1000:
            raise TimeoutError("slow")

    assert work(settings, handler) == 22
    (dead,), (waiting,) = dead_letters(line), read_all(line.bootstrap, settings.retry_topic)
    assert dead.value() == LARGE
    assert waiting.value() == temporary
    assert dict(dead.headers())["x-exception-stacktrace"]
    result = account(sent, settings.averages_topic, settings.dlq_topic, but=lambda one: one.key() == b"big")
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])
    assert verify(settings, DECODE, deep=True).findings == []


def test_what_has_no_room_for_its_details_is_a_dead_letter_without_them(line: Pipeline) -> None:
    """A queue with hardly more room than the orders: the stack goes, then the message, never the payload."""
    settings = line.settings()
    sent = journal(line, 10)
    alter_topic(line.bootstrap, settings.dlq_topic, "max.message.bytes", str(MOST + 900))
    line.extra["BATCH_SIZE"] = "1"
    shorter = encode({"orderId": "y", "product": "p" * (MOST - AROUND - 1600), "price": 7.0})
    large = {b"big": LARGE[:-4] + GOOD[-4:], b"few": shorter}
    records = [{"value": value, "key": key} for key, value in large.items()]
    assert send(line.bootstrap, settings.topic, *records, client={"message.max.bytes": 2_000_000}) == ["", ""]

    def handler(order: dict[str, Any]) -> None:
        if len(order["product"]) > 1000:
            raise ValueError("e" * 9000)

    assert work(line.settings(), handler, idle_polls=50) == 12
    dead = {one.key(): one for one in dead_letters(line)}
    assert {key: one.value() for key, one in dead.items()} == large
    everything = {"x-exception-stacktrace", "error", "x-exception-fqcn", "x-original-offset", "retryCount"}
    gone = {key: everything - {name for name, _ in one.headers()} for key, one in dead.items()}
    assert gone == {b"big": {"x-exception-stacktrace", "error"}, b"few": {"x-exception-stacktrace"}}
    result = account(sent, settings.averages_topic, settings.dlq_topic, but=lambda one: one.key() in large)
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])


def test_a_header_of_ten_megabytes_is_refused_or_carried_whole(line: Pipeline) -> None:
    """A default topic's client and broker refuse it; where the orders topic takes it, so do ours."""
    settings = line.settings()
    huge = {"value": GOOD[:-1], "key": b"huge", "headers": [("mine", b"\xab" * 10_000_000)]}
    create_topic(line.bootstrap, settings.topic)
    assert send(line.bootstrap, settings.topic, huge) == ["local MSG_SIZE_TOO_LARGE"]
    wide = {"message.max.bytes": 20_000_000}
    assert send(line.bootstrap, settings.topic, huge, client=wide) == ["MSG_SIZE_TOO_LARGE"]
    alter_topic(line.bootstrap, settings.topic, "max.message.bytes", "16000000")
    sent = journal(line, 20)
    assert send(line.bootstrap, settings.topic, huge, client=wide) == [""]
    assert upkeep.check(settings, lambda _: None) == []
    assert work(settings) == 21
    (dead,) = dead_letters(line)
    assert dict(dead.headers())["mine"] == huge["headers"][0][1]
    assert (dead.value(), dict(dead.headers())["x-failure-stage"]) == (GOOD[:-1], b"decode")
    result = account(sent, settings.averages_topic, settings.dlq_topic, but=lambda one: one.key() == b"huge")
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])


def test_a_queue_that_cannot_take_an_order_stops_its_worker_until_it_can(line: Pipeline, caplog) -> None:
    """Said at the start and by `topics check`; exit 4 names the record; the advice, followed, helps."""
    settings = line.settings()
    sent = journal(line, 20)
    alter_topic(line.bootstrap, settings.topic, "max.message.bytes", "4000000")
    wide = {"value": GOOD[:-1], "key": b"wide", "headers": [("mine", b"\xab" * 2_000_000)], "partition": 3}
    assert send(line.bootstrap, settings.topic, wide, client={"message.max.bytes": 4_000_000}) == [""]
    said = upkeep.check(settings, lambda _: None)
    assert [one.split(":")[0] for one in said] == [f"topic {settings.retry_topic}", f"topic {settings.dlq_topic}"]
    assert "max.message.bytes is 1114124, should be 4065536" in said[1]
    line.extra["BATCH_SIZE"] = "1"
    with pytest.raises(
        UncommittableError, match=rf"{settings.topic}/3/\d+ .*max\.message\.bytes.*not lost"
    ) as refused:
        work(line.settings())
    assert refused.value.exit_code == 4
    assert said[1] in caplog.text
    assert dead_letters(line) == []
    alter_topic(line.bootstrap, settings.dlq_topic, "max.message.bytes", "4065536")
    work(settings)
    (dead,) = dead_letters(line)
    assert dict(dead.headers())["mine"] == wide["headers"][0][1]
    result = account(sent, settings.averages_topic, settings.dlq_topic, but=lambda one: one.key() == b"wide")
    assert (result.lost, result.doubled, result.wrong_sums) == (0, 0, [])
