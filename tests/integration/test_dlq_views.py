"""Looking at real dead letters: list, show, groups, stats, notes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer

from kafka_orders.domain.errors import PermanentError
from tests.support.deadletters import accept, die, work
from tests.support.pipeline import Pipeline
from tests.support.surroundings import alter_topic
from tests.support.witness import encode

pytestmark = pytest.mark.broker


def dlq(line: Pipeline, *words: str, code: int = 0) -> list[dict[str, Any]]:
    done = line.run("dlq", *words, "-o", "jsonl")
    assert done.returncode == code, done.stdout + done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


def two_bugs(order: Any) -> None:
    if order["product"] == "Item1":
        raise PermanentError(f"order {order['orderId']} is refused")
    if order["product"] == "Item2":
        raise ValueError("no such shelf")


@pytest.fixture
def dead(line: Pipeline) -> Pipeline:
    """A queue with two bugs and two records that do not decode, one of them with hostile headers."""
    sent = die(line, 0)
    sent.send(200)
    sent.finish()
    client = Producer({"bootstrap.servers": line.bootstrap})
    topic = line.settings().topic
    client.produce(topic, b"\xff\xfe\xfd", b"\x1b[31mred", headers=[("tenant", b"blue"), ("tenant2", None)])
    client.produce(topic, encode({"orderId": "o", "product": "Item9", "price": 1.0})[:-1], b"short")
    client.flush()
    work(line, two_bugs, "main")
    return line


def test_a_list_can_be_narrowed(dead: Pipeline) -> None:
    """By every filter; a table says where it ends."""
    rows = dlq(dead, "list")
    bugs = {name: [row for row in rows if row["product"] == name] for name in ("Item1", "Item2")}
    assert len(rows) == len(bugs["Item1"]) + len(bugs["Item2"]) + 2
    one = bugs["Item1"][0]
    for words, expected in (
        (("--product", "Item1"), bugs["Item1"]),
        (("--error-class", "ValueError"), bugs["Item2"]),
        (("--error-class", "builtins.ValueError"), bugs["Item2"]),
        (("--match", "NO SUCH shelf"), bugs["Item2"]),
        (("--group", one["group"]), bugs["Item1"]),
        (("--key", one["key"]), [row for row in rows if row["key"] == one["key"]]),
        (("--id", one["id"]), [one]),
        (("--header", "tenant=blue"), [row for row in rows if "red" in row["key"]]),
        (("--since", "1h"), rows),
        (("--until", "1h"), []),
        (("--status", "open"), rows),
        (("--status", "resolved"), []),
    ):
        found = dlq(dead, "list", *words)  # partitions come as they come
        assert sorted(map(str, found)) == sorted(map(str, expected)), words
    assert "\x1b" not in json.dumps(rows)
    short = dead.run("dlq", "list", "--limit", "3")
    assert (short.returncode, len(short.stdout.splitlines())) == (0, 4)
    assert "not complete" in short.stderr
    assert "nothing is selected" in dead.run("dlq", "list", "--product", "None").stderr


def test_groups_tell_bugs_from_bad_records(dead: Pipeline) -> None:
    """One place in the code is one group, whatever the order ids in its messages."""
    rows = dlq(dead, "groups")
    by_class = {row["error"].split(":")[0].rpartition(".")[2]: row for row in rows}
    assert (len(rows), sum(row["letters"] for row in rows)) == (4, len(dlq(dead, "list")))
    assert {by_class[name]["looks_like"] for name in ("PermanentError", "ValueError")} == {"a bug"}
    assert by_class["PermanentError"]["keys"] == by_class["PermanentError"]["letters"]
    assert by_class["PermanentError"]["products"] == 1
    assert [row["looks_like"] for row in rows if row["letters"] == 1] == ["one bad record"] * 2
    fingerprint = by_class["ValueError"]["group"]
    assert dead.run("dlq", "note", fingerprint, "fixed in 1.2").returncode == 0
    assert {row["group"]: row["note"] for row in dlq(dead, "groups")}[fingerprint] == "fixed in 1.2"
    assert "no dead letter is of group" in dead.run("dlq", "note", "ffff", "x").stderr
    assert dead.run("dlq", "groups", "--group", "ffff").returncode == 1


def test_one_is_shown_whole(dead: Pipeline) -> None:
    """Its payload or where that broke, its journey, its headers, and newer orders with its key."""
    rows = dlq(dead, "list")
    broken = next(row for row in rows if row["key"] == "short")
    (told,) = dlq(dead, "show", broken["id"])
    assert (told["payload"]["kind"], told["stage"], told["status"]) == ("bytes", "decode", "open")
    assert told["payload"]["broke_at"] > 0
    assert told["journey"][0]["where"] == told["origin"]
    bad = next(row for row in rows if row["product"] == "Item1")
    client = Producer({"bootstrap.servers": dead.bootstrap})
    payload = encode({"orderId": bad["key"], "product": "Item3", "price": 2.0})
    for _ in range(2):
        client.produce(dead.settings().topic, payload, bad["key"].encode())
    client.flush()
    assert dlq(dead, "show", bad["id"])[0]["newer_orders_of_key"] == 0
    work(dead, accept, "main")
    (told,) = dlq(dead, "show", bad["id"])
    assert told["newer_orders_of_key"] == 2
    warned = dead.run("dlq", "replay", "--id", bad["id"], "--dry-run")
    assert "since 1 of these failed, newer orders" in warned.stderr
    assert told["payload"]["fields"]["product"] == "Item1"
    assert "Traceback" in told["stack"]
    assert "Item1" in dead.run("dlq", "show", bad["id"]).stdout
    assert dead.run("dlq", "show", f"{dead.settings().dlq_topic}/0/9999").returncode == 1
    assert dead.run("dlq", "show", "x").returncode == 2


def test_stats_warn_of_what_will_be_gone(dead: Pipeline) -> None:
    """Open dead letters that retention removes within 72 hours; jobs with their authors."""
    (found,) = dlq(dead, "stats")
    total = len(dlq(dead, "list"))
    assert (found["total"], found["statuses"]) == (total, {"open": total})
    assert found["expiring_within_72_h"] == 0
    assert found["error_classes"]["builtins.ValueError"] == found["products"]["Item2"]
    alter_topic(dead.bootstrap, dead.settings().dlq_topic, "retention.ms", str(71 * 3_600_000))
    dlq(dead, "discard", "--product", "Item2", "--reason", "the shelf is gone")
    (found,) = dlq(dead, "stats")
    left = total - found["products"]["Item2"]
    assert found["statuses"] == {"open": left, "discarded": total - left}
    assert found["expiring_within_72_h"] == left
    assert (found["jobs"][0]["reason"], found["jobs"][0]["done"]) == ("the shelf is gone", total - left)
    assert f"{left} open dead letters will be removed" in dead.run("dlq", "stats").stderr
    assert f"{left} open dead letters of" in dead.run("doctor").stdout
