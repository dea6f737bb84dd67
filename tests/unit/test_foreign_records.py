"""What other systems' classes wrote: the header names and encodings of each, as recorded from the real ones."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from kafka_orders.formats.avro import order_format
from kafka_orders.local.jars import locked
from tests.fixtures.foreign.record import DIALECTS as PROGRAMS
from tests.fixtures.foreign.record import FIRST, ORDERS, orders
from tests.support.foreign import DIALECTS, FOLDER, Recorded, about, line, read, records

SENT = ("tenant", "null")
_CONNECT_ERROR = "exception.class.name exception.message exception.stacktrace"
_SPRING = (
    "original-topic original-partition original-offset original-timestamp original-timestamp-type"
    " exception-fqcn exception-message exception-stacktrace"
)
#: Dialect -> prefix of its headers, and their names behind it; those of the origin come first.
NAMES = {
    "connect": (
        "__connect.errors.",
        f"topic partition offset connector.name task.id stage class.name {_CONNECT_ERROR}",
    ),
    "streams": ("__streams.errors.", "topic partition offset exception message stacktrace"),
    "share": ("__dlq.errors.", "topic partition offset group delivery.count message"),
    "spring": ("kafka_dlt-", f"{_SPRING} exception-cause-fqcn original-consumer-group"),
    "spring-retryable": ("kafka_", f"{_SPRING} exception-cause-fqcn dlt-original-consumer-group"),
    "spring-cloud-stream": ("x-", _SPRING),
}
#: Further headers, whose names stand behind no such prefix.
MORE = {
    "spring": {"kafka_deliveryAttempt"},
    "spring-retryable": {
        "retry_topic-attempts", "retry_topic-backoff-timestamp", "retry_topic-original-timestamp",
    },
}  # fmt: skip
#: Where each order stood: the origin that its dead letter has to name.
SOURCES = {
    (partition, FIRST + [one[0] for one in orders()[:place]].count(partition)): (key, value)
    for place, (partition, key, value) in enumerate(orders())
}


def first_pass(dialect: str) -> str:
    return dialect.removesuffix("-again")


def values(one: Recorded, name: str) -> list[bytes]:
    return [value for header, value in one.headers if header == name and value is not None]


def origins(dialect: str, one: Recorded) -> list[tuple[str, int, int]]:
    """Return (topic, partition, offset), the oldest first; numbers are text, or big-endian 4 and 8 bytes."""
    prefix, names = NAMES[first_pass(dialect)]
    topic, partition, offset = (values(one, prefix + name) for name in names.split()[:3])
    if dialect.startswith("spring"):
        assert {len(value) for value in partition} == {4}
        assert {len(value) for value in offset} == {8}
    read_number = int.from_bytes if dialect.startswith("spring") else int
    return [(t.decode(), read_number(p), read_number(o)) for t, p, o in zip(topic, partition, offset, strict=True)]


def test_every_program_has_its_records() -> None:
    """And nothing else lies there."""
    assert set(DIALECTS) == set(PROGRAMS)
    assert {first_pass(one) for one in DIALECTS} == set(NAMES)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_versions_are_those_of_the_locks(dialect: str) -> None:
    """Whoever locks newer jars records anew."""
    told, folder = about(dialect), PROGRAMS[dialect].folder
    jars = locked(FOLDER / f"java/{folder}/{folder}.lock.toml") + (locked() if folder == "kafka" else [])
    assert told["versions"] == {one.artifact: one.version for one in jars if one.artifact in PROGRAMS[dialect].of}
    assert set(told["versions"]) == set(PROGRAMS[dialect].of)
    assert told["broker"] == next(one.version for one in locked() if one.artifact == "kafka_2.13")
    assert (FOLDER / told["writer"]).is_file()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told["date"])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_headers_have_their_names(dialect: str) -> None:
    """Those of the dialect, those that the order came with (a broker's copy loses them), and no others."""
    prefix, names = NAMES[first_pass(dialect)]
    expected = {prefix + name for name in names.split()} | MORE.get(first_pass(dialect), set())
    for one in records(dialect):
        assert {name for name, _ in one.headers} - set(SENT) == expected
        sent = [header for header in one.headers if header[0] in SENT]
        assert sent == ([] if dialect == "share" else [("tenant", b"acme"), ("tenant", b"again"), ("null", None)])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_order_died_once_where_its_headers_say(dialect: str) -> None:
    """Avro, framed Avro, JSON, broken bytes, no key: payload and key as they stood at the origin."""
    letters = [one for one in records(dialect) if b"share-bare" not in values(one, "__dlq.errors.group")]
    first = [origins(dialect, one)[0] for one in letters]
    assert sorted(first) == [(ORDERS, *place) for place in sorted(SOURCES)]
    for one, (_, partition, offset) in zip(letters, first, strict=True):
        key, value = SOURCES[partition, offset]
        assert (one.key, one.value) == (key and key.encode(), value)


@pytest.mark.parametrize("dialect", [one for one in DIALECTS if one.endswith("-again")])
def test_who_dies_again_has_two_origins(dialect: str) -> None:
    """Nobody replaces: the oldest origin comes first, the last is the topic that was read."""
    for one in records(dialect):
        assert [topic for topic, *_ in origins(dialect, one)] == [ORDERS, PROGRAMS[dialect].source]
        counts = Counter(name for name, _ in one.headers if "exception" in name)
        assert set(counts.values()) == {1 if dialect == "spring-again" else 2}  # Spring strips the older failure


def test_spring_counts_in_binary() -> None:
    """Attempts in 4 bytes; the times of retry topics in as few bytes as they need, repeated at each hop."""
    for one in records("spring-retryable"):
        assert [int.from_bytes(value) for value in values(one, "retry_topic-attempts")] == [2, 3, 4]
        (at,) = values(one, "kafka_original-timestamp")
        assert len(at) == 8
        assert set(values(one, "retry_topic-original-timestamp")) == {at.lstrip(b"\x00")}
        due = [int.from_bytes(value) for value in values(one, "retry_topic-backoff-timestamp")]
        assert int.from_bytes(at) < due[0] < due[1] < due[2] <= one.timestamp_ms < int.from_bytes(at) + 600_000
    attempts = {one.key: int.from_bytes(values(one, "kafka_deliveryAttempt")[0]) for one in records("spring")}
    assert attempts == {b"o-1": 2, b"o-2": 2, b"o-3": 2, b"o-4": 1, None: 2}


def test_the_broker_copies_only_for_who_asks() -> None:
    """By default a share group's dead letter is its headers alone; the count is that of deliveries."""
    letters = records("share")
    bare = [one for one in letters if values(one, "__dlq.errors.group") == [b"share-bare"]]
    assert {(one.key, one.value) for one in bare} == {(None, None)}
    assert sorted(origins("share", one)[0][1:] for one in bare) == sorted(SOURCES)
    counts = Counter((one.value is None, values(one, "__dlq.errors.delivery.count")[0]) for one in letters)
    assert counts == {(True, b"3"): 5, (False, b"1"): 5}


def test_the_orders_are_of_every_kind() -> None:
    """The first as the pipeline writes them, the second behind a registry's five bytes, the third as JSON."""
    decode, sent = order_format().decode, [value for _, _, value in orders()]
    assert decode(sent[0])["orderId"] == "o-1"
    assert (sent[1][0], int.from_bytes(sent[1][1:5]), decode(sent[1][5:])["orderId"]) == (0, 42, "o-2")
    assert json.loads(sent[2])["orderId"] == "o-3"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_tells_of_the_machine(dialect: str) -> None:
    """No path, no address, in no header of no record."""
    for one in records(dialect):
        told = b"\n".join(value or b"" for _, value in one.headers)
        assert re.search(rb"/(tmp|home|root|work)/|127\.0\.0\.1|localhost|://", told) is None


def test_a_line_reads_back() -> None:
    """Nulls, bytes that are no text, and a repeated header."""
    one = Recorded("t", 1, 2, 3, None, b"\xff", [("a", b"\x00"), ("a", None), ("b", b"")])
    assert read(line(one)) == one
