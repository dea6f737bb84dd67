"""F12 to F16: hostile records, clocks, identities, state and offsets, upgrades."""

from __future__ import annotations

import json
import math
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.faults.bed import Bed
from tests.faults.crew import Member
from tests.faults.scenarios import scenario
from tests.support.surroundings import create_topic, delete_topic, forget_group, send
from tests.support.waiting import eventually
from tests.support.witness import encode, read_all

#: The client's assignor keeps data in a classic group, so that some groups take members of the new protocol only
#: once the last classic one has left (broker: "userData from a custom assignor would be lost"). They try again.
MOST_CONSUMERS = 30
#: Exit code of a role that refuses to go on.
REFUSED = 4


def poison(chance: Any) -> list[bytes | None]:
    """Return values that are no orders: cut, empty, null, wild lengths, prices that cannot be counted."""
    good = encode({"orderId": "poison", "product": "Item1", "price": 1.0})
    order = {"orderId": "poison", "product": "Item1"}
    bad = [encode({**order, "price": price}) for price in (math.nan, math.inf, -math.inf, -1.0)]
    garbage = chance.randbytes(chance.randint(1, 60))
    wild = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    return [
        None,
        b"",
        good[:-1],
        good[:1],
        garbage,
        wild,
        b"\x01" + good,
        encode({**order, "orderId": "", "price": 1.0}),
        *bad,
    ]


HOSTILE: list[list[tuple[str, bytes | None]]] = [
    [("retryCount", b"999999999999999999999")],
    [("retryCount", b"-1"), ("retryCount", b"\xff")],
    [("retryCount", None)],
    [("x-original-topic", b"nowhere"), ("x-original-partition", b"0"), ("x-original-offset", b"0")],
    [("x-original-offset", b"-5"), ("x-original-offset", b"9" * 400)],
    [("x-retry-due", b"253402300799000"), ("x-retry-after", b"99999999999")],
    [("error", b"\r\nINFO all is well\x00" * 50)],
    [("x-failed-at", b"\xc3\x28"), ("x-consumer-group", None)],
    [("x-replay-id", b"x"), ("x-replay-count", b"1e9")],
    [(f"h{number}", b"v" * 100) for number in range(200)],
]


@scenario("F12")
def poison_and_hostile_headers(bed: Bed) -> None:
    """Values that are no orders and headers that lie, in the middle of load and kills."""
    bed.open()
    bed.staff()
    bed.produce(15_000)
    for _ in range(4):
        bed.flow()
        values = poison(bed.chance)
        bed.tombstones += sum(value is None for value in values)
        records = [{"value": value, "key": f"poison-{bed.chance.random()}"} for value in values]
        good = encode({"orderId": "hostile", "product": "Item3", "price": 2.0})
        records += [{"value": good, "key": b"hostile", "headers": held} for held in HOSTILE]
        refused = send(bed.bootstrap, bed.settings.topic, *records)
        assert not any(refused), refused
        bed.strike("poison and hostile headers", bed.wait_open(1.0))
        bed.kill_open()


@scenario("F13")
def wrong_clocks(bed: Bed) -> None:
    """One main an hour ahead, one retry an hour behind, while others are killed: no retry is early."""
    bed.clock_moved = True
    bed.open()
    bed.start("consume", TEST_CLOCK="3600")
    bed.start("retry", TEST_CLOCK="-3600")
    bed.staff(consume=1, retry=1)
    bed.produce(20_000)
    bed.strike("a clock is an hour off")
    for _ in range(2):
        bed.flow()
        bed.kill_open()


@scenario("F14")
def one_identity_twice(bed: Bed) -> None:
    """Two processes with one transactional.id: one of them ends with exit code 4."""
    bed.open()
    bed.staff(consume=1, retry=1)
    bed.produce(25_000)
    bed.flow()
    twins = []
    for verb in ("consume", "retry"):
        for number in range(2):
            home = bed.points.parent / f"home-{number}"
            twins.append(bed.start(verb, HOME=str(home), INSTANCE_ID="the-same"))
    overlapped = bed.wait_open()
    bed.strike("two processes with one transactional.id", overlapped)
    for verb in ("consume", "retry"):
        pair = [one for one in twins if one.verb == verb]
        eventually(lambda pair=pair: [one for one in pair if not one.alive], 60, f"one {verb} gives up")
        _gone(bed, next(one for one in pair if not one.alive), REFUSED, "INSTANCE_ID")
    bed.flow()


@scenario("F15")
def state_and_offsets_lost(bed: Bed) -> None:
    """Offsets deleted, state of a newer version, state emptied: repaired where that is safe, else refused."""
    bed.open()
    bed.staff(consume=1, retry=1)
    bed.produce(6_000)
    bed.flow(5_000)
    _restart(
        bed,
        lambda: [forget_group(bed.bootstrap, group) for group in (bed.names.main_group, bed.names.retry_group)],
    )
    bed.strike("committed offsets deleted", bed.wait_open())
    bed.produce(4_000)
    bed.flow(9_000)
    drained(bed)
    bed.leave_all()
    _newer_version(bed)
    bed.verifies = False  # it reads the changelog's history, in which a newer version stands now
    bed.staff(consume=1, retry=1)
    bed.produce(2_000)
    bed.flow(500)
    drained(bed)
    bed.leave_all()
    bed.finish(final=lambda: _state_lost(bed))


@scenario("F15")
def offsets_before_state(bed: Bed) -> None:
    """Committed offsets are visible while the end of the changelog is not yet stable (KAFKA-10167)."""
    bed.needs_overlap = False  # the transaction it meets is ours
    bed.open()
    bed.staff(consume=1, retry=1)
    bed.produce(3_000)
    drained(bed)
    bed.leave_all()
    key = f"{bed.settings.topic}/0".encode()
    progress = {
        one.key(): json.loads(one.value() or b"") for one in read_all(bed.bootstrap, bed.settings.averages_topic)
    }
    end = progress[key]["next_offset"]
    bed.tombstones = 3
    tombstones = [{"value": None, "key": b"gone", "partition": 0}] * bed.tombstones
    assert not any(send(bed.bootstrap, bed.settings.topic, *tombstones))
    new = {**progress[key], "next_offset": end + 3, "skipped": progress[key]["skipped"] + 3}
    # What a batch of three tombstones writes, its offset visible before the marker in the changelog is.
    producer = Producer({"bootstrap.servers": bed.bootstrap, "transactional.id": bed.line.name})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(bed.settings.averages_topic, json.dumps(new).encode(), key, partition=0)
    producer.flush(20)
    asker = Consumer({"bootstrap.servers": bed.bootstrap, "group.id": bed.settings.group})
    asker.commit(offsets=[TopicPartition(bed.settings.topic, 0, end + 3)], asynchronous=False)
    asker.close()
    bed.start("consume").role.says("assigned")
    bed.strike("offsets visible before the state")
    bed.pass_time(3)
    producer.commit_transaction(20)
    bed.produce(1_000)
    bed.flow(500)


@scenario("F16")
def rolling_upgrade(bed: Bed) -> None:
    """From the classic protocol to the consumer protocol (KIP-848), one member at a time."""
    bed.open()
    old = bed.staff(consume=2, retry=2, GROUP_PROTOCOL="classic")
    bed.produce(30_000)
    for member in old:
        bed.flow()
        met = bed.wait_open()
        bed.leave(member)
        bed.start(member.verb, GROUP_PROTOCOL="consumer").role.says("reads ")
        bed.strike("a member changes the protocol", met)
    bed.flow(1_000)
    storms = [one for one in bed.members if one.role.text().count("building a new one") > MOST_CONSUMERS]
    assert not storms, f"new consumers without pause: {storms[0].role.text()[-500:]}"


def drained(bed: Bed) -> None:
    """Wait until all orders produced so far have an outcome."""
    bed.flow(1 << 40, within=60)


def _restart(bed: Bed, change: Any) -> None:
    """Stop all roles, change something, and start them again."""
    verbs = [member.verb for member in bed.members]
    bed.leave_all()
    change()
    for verb in verbs:
        bed.start(verb)


def _gone(bed: Bed, member: Member, code: int, words: str) -> None:
    """A role has to have ended with that code, and to have said why."""
    assert member.role.process.wait(60) == code, member.role.text()
    assert words in member.role.text(), member.role.text()
    if member in bed.members:
        bed.members.remove(member)


def _write_state(bed: Bed, message: Message, value: bytes) -> None:
    send(bed.bootstrap, bed.settings.averages_topic,
         {"key": message.key(), "value": value, "partition": message.partition()})  # fmt: skip


def _newer_version(bed: Bed) -> None:
    """A progress record of a version that is not known yet: refused; put back, it goes on."""
    newest = {one.key(): one for one in read_all(bed.bootstrap, bed.settings.averages_topic)}
    key = f"{bed.settings.topic}/0".encode()
    held = newest[key].value() or b""
    _write_state(bed, newest[key], json.dumps({**json.loads(held), "v": 99}).encode())
    member = bed.start("consume")
    bed.members.remove(member)
    _gone(bed, member, REFUSED, "newer kafka-orders")
    bed.strike("state of a newer version")
    _write_state(bed, newest[key], held)


def _state_lost(bed: Bed) -> None:
    """The state topic deleted: no role begins empty."""
    delete_topic(bed.bootstrap, bed.settings.averages_topic)
    create_topic(bed.bootstrap, bed.settings.averages_topic, 6, cleanup_policy="compact")
    for verb in ("consume", "retry"):
        member = bed.start(verb)
        bed.members.remove(member)
        _gone(bed, member, REFUSED, "state is gone")
    bed.strike("state topic emptied")
