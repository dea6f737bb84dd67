"""Another system's dead letters on a real broker: listed, grouped, and sent back to the topic that they name."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.support.deadletters import replays, standings
from tests.support.pipeline import Pipeline
from tests.support.surroundings import create_topic
from tests.support.witness import encode, read_all

pytestmark = pytest.mark.broker


def spring(number: int) -> list[tuple[str, bytes]]:
    return [
        ("tenant", b"blue"),
        ("kafka_dlt-original-topic", b"invoices"),
        ("kafka_dlt-original-partition", struct.pack(">i", 0)),
        ("kafka_dlt-original-offset", struct.pack(">q", number)),
        ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_dlt-exception-message", b"invoice %d is not paid" % number),
    ]


def connect(number: int) -> list[tuple[str, bytes]]:
    return [
        ("__connect.errors.topic", b"nowhere"), ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", b"%d" % number), ("__connect.errors.exception.class.name", b"DataException"),
    ]  # fmt: skip


def test_they_are_listed_grouped_and_replayed(line: Pipeline) -> None:
    """By their own headers; those are dropped, a stranger's own stay, and bytes are not touched."""
    assert line.run("topics", "create").returncode == 0
    dead, back = f"{line.name}-invoices-dlt", f"{line.name}-invoices"
    for name in (dead, back):
        create_topic(line.bootstrap, name, 1)
    order = encode({"orderId": "1", "product": "Tea", "price": 2.0})
    payloads = [b"\0\0\0\0\7" + order, b'{"product": "Tea", "price": 2}', b"\xff\xfe", order]
    client = Producer({"bootstrap.servers": line.bootstrap})
    for number in range(12):
        client.produce(dead, payloads[number % 4], f"k{number}".encode(), headers=spring(number))
    client.produce(dead, b"x", b"c", headers=connect(1))
    client.produce(dead, b"y", b"n")
    client.flush()

    def dlq(*words: str) -> list[dict[str, Any]]:
        done = line.run("dlq", *words, "--topic", dead, "-o", "jsonl")
        assert done.returncode == 0, done.stderr
        return [json.loads(row) for row in done.stdout.splitlines()]

    assert {row["letters"]: row["looks_like"] for row in dlq("groups")} == {12: "a bug", 1: "one bad record"}
    assert len(dlq("list", "--product", "Tea")) == 9  # framed, JSON, plain
    assert {row["error_class"] for row in dlq("list", "--match", "not paid")} == {
        "java.lang.IllegalStateException"
    }
    (shown,) = (json.loads(line.run("dlq", "show", f"{dead}/0/0", "-o", "jsonl").stdout),)
    assert (shown["written_by"], shown["origin"], shown["payload"]["schema_id"]) == ("Spring", "invoices/0/0", 7)
    told = {row["what"]: row["letters"] for row in dlq("replay", "--dry-run")}
    assert told["passed over: its topic invoices does not exist (--to names another one)"] == 12
    assert dlq("replay", "--error-class", "IllegalStateException", "--to", back)[0]["sent"] == 12
    assert dlq("replay", "--error-class", "IllegalStateException", "--to", back) == []
    sent = read_all(line.bootstrap, back)
    assert sorted(one.value() or b"" for one in sent) == sorted(payloads * 3)
    names = {name for one in sent for name, _ in one.headers() or []}
    assert names == {"tenant", "x-original-topic", "x-original-partition", "x-original-offset", "x-replay-id",
                     "x-replay-count", "x-replay-of"}  # fmt: skip
    assert set(replays(line, back).values()) == {1}
    assert len([one for one in standings(line) if one.startswith(dead)]) == 12
    assert dlq("discard", "--error-class", "DataException", "--reason", "theirs")[0]["sent"] == 1
