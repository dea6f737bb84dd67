"""The checker sees each kind of damage: topics written by hand, right ones first, then every invariant broken."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.faults import checker
from tests.faults.findings import Names
from tests.support.surroundings import create_topic, send
from tests.support.witness import encode

FIRST, SECOND, DEAD = (
    {"orderId": name, "product": "Item1", "price": price} for name, price in (("a", 1.0), ("b", 2.0), ("c", 4.0))
)


@dataclass
class World:
    """A pipeline's topics as it would have left them: one counted, one by a retry, one dead, a tombstone."""

    bootstrap: str
    name: str
    folder: Path
    delay_ms: int = 0
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "1.journal").write_text(
            "".join(f"s {json.dumps(one)}\na {one['orderId']}\n" for one in (FIRST, SECOND, DEAD))
        )
        now = time.time()
        orders = [*map(encode, (FIRST, SECOND, DEAD)), None]
        self.records = {
            "orders": [{"value": value, "key": b"k"} for value in orders],
            "retry": [self.failed(SECOND, 1, 1)],
            "dlq": [self.failed(DEAD, 2, 0)],
            "output": [self.counted(FIRST, 0, 0, now), self.counted(SECOND, 1, 1, now + 60)],
            "averages": [
                self.progress("orders", 4, processed=1, retried=1, dead=1, skipped=1),
                self.shard("orders", 1, 1.0),
                self.progress("retry", 1, processed=1),
                self.shard("retry", 1, 2.0),
            ],
        }
        for number, one in enumerate((FIRST, SECOND, DEAD)):
            self.records["orders"][number]["key"] = str(one["orderId"]).encode()
        self.offsets = {"orders": 4, "retry": 1}

    def topic(self, kind: str) -> str:
        return f"{self.name}-{kind}"

    def failed(self, order: dict[str, Any], offset: int, count: int) -> dict[str, Any]:
        held = {"retryCount": count, "x-original-topic": self.topic("orders"), "x-original-partition": 0,
                "x-original-offset": offset, "x-failed-at": int(time.time() * 1000) + 60_000}  # fmt: skip
        return {"value": encode(order), "headers": [(name, str(value).encode()) for name, value in held.items()]}

    def counted(
        self, order: dict[str, Any], offset: int, attempt: int, at: float, replay: int = 0
    ) -> dict[str, Any]:
        told = (self.topic("orders"), 0, offset, order["orderId"], attempt, at, replay)
        return {"value": json.dumps(told).encode()}

    def sent_back(self, letter: str) -> dict[str, Any]:
        sent = self.failed(DEAD, 2, 0)
        kept = [one for one in sent["headers"] if one[0].startswith("x-original")]
        return sent | {"headers": [*kept, ("x-replay-of", letter.encode()), ("x-replay-count", b"1")]}

    def replay(self, status: str) -> str:
        """Have the dead letter sent back and counted; return its name."""
        letter = f"{self.topic('dlq')}/0/0"
        self.records["retry"].append(self.sent_back(letter))
        self.records["output"].append(self.counted(DEAD, 2, 0, time.time() + 60, 1))
        self.records["averages"] += [self.progress("retry", 2, processed=2), self.shard("retry", 2, 6.0)]
        self.offsets["retry"] = 2
        self.records["status"] = [{"key": letter.encode(), "value": json.dumps({"status": status}).encode()}]
        return letter

    def progress(self, kind: str, next_offset: int, **counts: int) -> dict[str, Any]:
        zero = {"processed": 0, "retried": 0, "dead": 0, "skipped": 0}
        value = {"v": 1, "next_offset": next_offset, **zero, **counts}
        return {"key": f"{self.topic(kind)}/0".encode(), "value": json.dumps(value).encode()}

    def shard(self, kind: str, count: int, total: float) -> dict[str, Any]:
        value = {"v": 1, "count": count, "sum": total}
        return {"key": f"{self.topic(kind)}/0/Item1".encode(), "value": json.dumps(value).encode()}

    def check(self, seen: Any = None) -> list[str]:
        """Write it all and return what the checker finds."""
        for kind, records in self.records.items():
            create_topic(self.bootstrap, self.topic(kind), 1, message_timestamp_type="LogAppendTime")
            assert not any(send(self.bootstrap, self.topic(kind), *records))
        for kind, offset in self.offsets.items():
            asker = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.topic(kind)})
            asker.commit(offsets=[TopicPartition(self.topic(kind), 0, offset)], asynchronous=False)
            asker.close()
        kinds = ("orders", "retry", "dlq", "averages", "output")
        status = self.topic("status") if "status" in self.records else ""
        groups = (self.topic("orders"), self.topic("retry"))
        names = Names(*map(self.topic, kinds), *groups, 3, self.delay_ms, status)
        return checker.check(self.bootstrap, names, self.folder, seen).problems


@pytest.fixture
def world(bootstrap: str, tmp_path: Path) -> World:
    """Topics that are right."""
    return World(bootstrap, f"world-{tmp_path.name[-12:]}-{time.time_ns()}", tmp_path)


def kinds(problems: list[str]) -> set[str]:
    return {one.partition(":")[0] for one in problems}


@pytest.mark.broker
def test_what_is_right_is_found_right(world: World) -> None:
    """Or else the rest of this file shows nothing."""
    place = (world.topic("output"), 0, 0)
    found = world.check({place: world.records["output"][0]["value"]})
    assert kinds(found) == {"seen at the end and not meanwhile"}


@pytest.mark.broker
def test_each_invariant_can_be_broken(world: World) -> None:
    """All at once, so that it takes seconds: lost, doubled, forged, uneven, early, moved."""
    (world.folder / "2.journal").write_text('s {"orderId": "gone"}\na gone\n')
    world.delay_ms = 3_600_000
    world.records["orders"] += [{"value": b"\xff", "key": b"bad"}, {"value": encode(FIRST), "key": b"a"}]
    world.records["output"] += [
        world.counted(SECOND, 1, 1, time.time()),
        world.counted(FIRST, 4, 0, time.time()),
        world.counted(FIRST, 3, 0, time.time()),
    ]
    world.records["retry"] += [world.failed(SECOND, 1, 1), world.failed(DEAD, 2, 9)]
    world.records["averages"] += [
        world.progress("orders", 2, processed=1),
        world.shard("orders", 1, 3.0),
        world.progress("retry", 2, processed=7),
    ]
    world.offsets["orders"] = 3
    found = world.check({(world.topic("output"), 0, 99): b"", (world.topic("output"), 0, 0): b"other"})
    assert kinds(found) == {
        "I1 acknowledged, not in the log", "I1 twice in the log", "I1 not as it was sent", "I1 lost", "I1 doubled",
        "I1 counted twice",
        "I1 of no order",
        "I2 counted, but no order", "I2 another order's", "I2 wrong count or sum",
        "I3 the changelog goes back", "I3 a step is not what its transaction wrote",
        "I3 shards and progress differ", "I4 offset and state differ",
        "I6 the same retry twice", "I6 beyond MAX_RETRIES", "I6 handled before it was due",
        "I6 without the retry before it", "seen meanwhile and not at the end",
        "seen at the end and not meanwhile", "seen with another value",
    }  # fmt: skip


@pytest.mark.broker
def test_a_replay_is_followed_to_its_end(world: World) -> None:
    """Sent back, counted, and resolved is as it should be."""
    world.replay("resolved")
    assert world.check() == []


@pytest.mark.broker
def test_each_way_a_replay_can_go_wrong(world: World) -> None:
    """Sent twice, sent of nothing, a status that nothing bears out."""
    letter = world.replay("replaying")
    world.records["retry"] += [world.sent_back(letter), world.sent_back("nowhere/0/0")]
    world.records["status"].append({"key": b"nowhere/0/1", "value": b'{"status": "resolved"}'})
    found = world.check()
    assert {"I9 sent back twice", "I9 of no dead letter", "I9 statuses", "I1 lost"} <= kinds(found), found


@pytest.mark.broker
def test_an_open_transaction_is_a_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """I5, when it outlasts its time; a reader of committed records sees nothing of it."""
    monkeypatch.setattr(checker, "HANGING_SECONDS", 1.0)
    create_topic(world.bootstrap, world.topic("averages"), 1, message_timestamp_type="LogAppendTime")
    producer = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": world.name})
    producer.init_transactions(20)
    records = world.records.pop("averages")
    assert not any(send(world.bootstrap, world.topic("averages"), *records))
    producer.begin_transaction()
    producer.produce(world.topic("averages"), b"{}", b"open", partition=0)
    producer.flush(20)
    found = world.check()
    producer.abort_transaction(20)
    assert "I5 hanging transactions" in kinds(found)
