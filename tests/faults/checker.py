"""The checker: what the topics say of a journal's orders. It knows the contract, nothing of the product's code.

Every record of the orders topic is followed by its origin (topic, partition, offset), which Kafka gave it: to the
output topic, where the handler under test tells whom it counted, or to the dead letters. Invariants:

- I1 each acknowledged order is in the log, with the payload sent; each record of the log is counted once or dead
  once (a tombstone neither), so an order with an unknown outcome at most once for each copy in the log;
- I2 count and sum per product are exact; what cannot be an order is never counted;
- I3 the changelog is monotone, and each step of it equals what its transaction wrote to the other topics;
- I4 next_offset is the group's committed offset;
- I5 no transaction hangs: the last stable offset reaches the end within transaction.timeout.ms + 10 s;
- I6 retries are numbered 1 to MAX_RETRIES without gap or double, none is handled before it is due;
- I7 everything drains within 120 s (the bed waits for that);
- I8 a reader that ran meanwhile saw what one at the end sees;
- I9 a dead letter is sent back once by a replay, gives its order one more outcome, and its status says which.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from tests.faults.findings import Hop, Names, Place, Report
from tests.faults.journal import Told, read_journals
from tests.faults.steps import Steps
from tests.support.shards import read_shards
from tests.support.waiting import eventually
from tests.support.witness import decode, read_all

#: transaction.timeout.ms of the product and 10 s.
HANGING_SECONDS = 20.0
#: A handler's clock may be that much behind the broker's, which rounds, in milliseconds.
_CLOCK_MS = 50


def check(
    bootstrap: str, names: Names, journals: Path, seen: dict[Place, bytes] | None = None, clock_moved: bool = False
) -> Report:
    """Read everything and compare; ``seen`` is what a reader of output topic and dead letters saw meanwhile."""
    report = Report()
    await_stable(bootstrap, [names.orders, names.retry, names.dlq, names.averages, names.output], report)
    log = {_place(one): one for one in read_all(bootstrap, names.orders)}
    counted = [_counted(one) for one in read_all(bootstrap, names.output)]
    dead = [_failed(one) for one in read_all(bootstrap, names.dlq)]
    retries = [_failed(one) for one in read_all(bootstrap, names.retry)]
    _acknowledged(report, read_journals(journals), log)
    replays = [hop for hop in retries if hop.replay and not hop.attempt]
    _each_once(report, log, counted, dead, replays)
    if names.status:
        _statuses(report, bootstrap, names, counted, dead, replays)
    _retries(report, names, counted, dead, retries, clock_moved)
    changelog = read_all(bootstrap, names.averages)
    _sums(report, log, counted, changelog)
    Steps(log, counted, dead, retries).check(report, changelog)
    _committed(report, bootstrap, names, changelog)
    uncommitted = read_all(bootstrap, names.averages, "read_uncommitted")
    report.transactions, report.aborted = len(changelog), len(uncommitted) - len(changelog)
    if seen is not None:
        final = {
            _place(one): one.value() or b""
            for topic in (names.output, names.dlq)
            for one in read_all(bootstrap, topic)
        }
        report.problem("seen meanwhile and not at the end", sorted(set(seen) - set(final)))
        report.problem("seen at the end and not meanwhile", sorted(set(final) - set(seen)))
        report.problem("seen with another value", [one for one in seen if seen[one] != final.get(one, seen[one])])
    return report


def _place(message: Message) -> Place:
    return (message.topic() or "", message.partition() or 0, message.offset() or 0)


def _counted(message: Message) -> Hop:
    topic, partition, offset, order_id, attempt, handled, *replay = json.loads(message.value() or b"")
    origin = (topic, partition, offset)
    where, when = _place(message), message.timestamp()[1]
    return Hop(origin, attempt, where, when, int(handled * 1000), order_id, *replay)


def _failed(message: Message) -> Hop:
    held = dict(message.headers() or [])

    def text(name: str) -> str:
        return (held[name] or b"").decode()

    origin = (text("x-original-topic"), int(text("x-original-partition")), int(text("x-original-offset")))
    letter = (held.get("x-replay-of") or b"").decode()
    replay = int(text("x-replay-count")) if letter else 0
    count, handled = (int((held.get(name) or b"0").decode()) for name in ("retryCount", "x-failed-at"))
    where, when = _place(message), message.timestamp()[1]
    return Hop(origin, count, where, when, handled, _order_id(message), replay, letter)


def _order_id(message: Message) -> str | None:
    order = read_order(message)
    return order["orderId"] if order else None


def read_order(message: Message) -> dict[str, Any] | None:
    """Return the order of a record, None where it holds none that can be counted."""
    try:
        order = decode(message.value() or b"")
    except Exception:  # whatever fastavro raises on garbage
        return None
    sound = math.isfinite(order["price"]) and order["price"] >= 0 and order["orderId"]
    return order if sound else None


def await_stable(bootstrap: str, topics: list[str], report: Report) -> None:
    """I5: wait until the last stable offset of every partition is its end."""
    readers = {
        level: Consumer({"bootstrap.servers": bootstrap, "group.id": "checker", "isolation.level": level})
        for level in ("read_committed", "read_uncommitted")
    }
    meta = readers["read_committed"].list_topics(timeout=20).topics
    slots = [TopicPartition(topic, number) for topic in topics for number in meta[topic].partitions]

    def unstable() -> list[str]:
        ends = {
            level: [one.get_watermark_offsets(slot, timeout=10)[1] for slot in slots]
            for level, one in readers.items()
        }
        pairs = zip(slots, *ends.values(), strict=True)
        return [f"{slot.topic}/{slot.partition} {stable} of {end}" for slot, stable, end in pairs if stable < end]

    try:
        eventually(lambda: not unstable(), HANGING_SECONDS, "no open transaction")
    except AssertionError:
        report.problem("I5 hanging transactions", unstable())
    for reader in readers.values():
        reader.close()


def _acknowledged(report: Report, told: Told, log: dict[Place, Message]) -> None:
    copies = Counter((message.key() or b"").decode("utf-8", "replace") for message in log.values())
    held = {order["orderId"]: order for one in log.values() if (order := read_order(one))}
    report.orders, report.acknowledged = len(log), len(told.acknowledged)
    report.unknown = len(set(told.sent) - told.acknowledged)
    report.problem("I1 acknowledged, not in the log", [one for one in told.acknowledged if not copies[one]])
    report.problem("I1 twice in the log", [one for one in told.acknowledged if copies[one] > 1])
    report.problem("I1 not as it was sent", [one for one in told.acknowledged if held.get(one) != told.sent[one]])


def _each_once(
    report: Report, log: dict[Place, Message], counted: list[Hop], dead: list[Hop], replays: list[Hop]
) -> None:
    # A dead letter that was sent back has one more outcome, in its turn; none is counted twice.
    outcomes: Counter[Place] = Counter(hop.origin for hop in (*counted, *dead))
    outcomes.subtract(hop.origin for hop in replays)
    report.problem("I1 counted twice", [one for one, n in Counter(hop.origin for hop in counted).items() if n > 1])
    wanted = {place for place, message in log.items() if message.value() is not None}
    report.counted, report.dead, report.skipped = len(counted), len(dead), len(log) - len(wanted)
    report.replayed = len(replays)
    missing = [place for place in wanted if outcomes[place] < 1]
    twice = [place for place, times in outcomes.items() if times > 1]
    report.lost, report.doubled = len(missing), sum(outcomes[place] - 1 for place in twice)
    report.problem("I1 lost", sorted(missing))
    report.problem("I1 doubled", sorted(twice))
    report.problem("I1 of no order", sorted(set(outcomes) - wanted))
    orders = {place: _order_id(message) for place, message in log.items()}
    report.problem("I2 counted, but no order", [hop for hop in counted if orders.get(hop.origin) is None])
    report.problem(
        "I2 another order's", [hop for hop in (*counted, *dead) if orders.get(hop.origin) != hop.order_id]
    )


def _statuses(
    report: Report, bootstrap: str, names: Names, counted: list[Hop], dead: list[Hop], replays: list[Hop]
) -> None:
    """I9: each dead letter that was sent back says what came of it, and no other says that it was."""
    said = {}
    for one in read_all(bootstrap, names.status):
        if (key := (one.key() or b"").decode()).count("/") == 2:
            said[key] = json.loads(one.value() or b"{}")["status"]
    letters = {"/".join(map(str, hop.at)): hop for hop in dead}
    report.problem("I9 of no dead letter", [hop for hop in replays if hop.letter not in letters])
    report.problem(
        "I9 sent back twice", [one for one, n in Counter(hop.letter for hop in replays).items() if n > 1]
    )
    ends = {(hop.origin, hop.replay): "resolved" for hop in counted}
    ends |= {(hop.origin, hop.replay): "failed_again" for hop in dead}
    wanted = {hop.letter: ends.get((hop.origin, hop.replay), "replaying") for hop in replays}
    told = {letter: status for letter, status in said.items() if status not in ("open", "discarded")}
    differ = {one for one in {*wanted, *told} if wanted.get(one) != told.get(one)}
    report.problem("I9 statuses", [f"{one} {told.get(one)} for {wanted.get(one)}" for one in sorted(differ)])


def _retries(
    report: Report, names: Names, counted: list[Hop], dead: list[Hop], retries: list[Hop], clock_moved: bool
) -> None:
    waits = {(hop.origin, hop.attempt, hop.replay): hop for hop in retries}
    report.retried = len(retries)
    times = Counter((hop.origin, hop.attempt, hop.replay) for hop in retries)
    report.problem("I6 the same retry twice", [one for one, number in times.items() if number > 1])
    beyond = [hop for hop in retries if not (not hop.replay) <= hop.attempt <= names.max_retries]
    report.problem("I6 beyond MAX_RETRIES", beyond)
    early, orphans = [], []
    for hop in (
        *counted,
        *dead,
        *(replace(one, attempt=one.attempt - 1) for one in retries if one.attempt),
    ):
        if not hop.attempt and not hop.replay:
            continue
        parent = waits.get((hop.origin, hop.attempt, hop.replay))
        if parent is None:
            orphans.append(hop)
            continue
        due = parent.appended_ms + (names.delay_ms << (hop.attempt - 1) if hop.attempt else 0)
        if hop.appended_ms < due or (not clock_moved and hop.handled_ms < due - _CLOCK_MS):
            early.append((hop, due))
    report.problem("I6 handled before it was due", early)
    report.problem("I6 without the retry before it", orphans)


def _sums(report: Report, log: dict[Place, Message], counted: list[Hop], changelog: list[Message]) -> None:
    exact: dict[str, Fraction] = defaultdict(Fraction)
    counts: Counter[str] = Counter()
    for hop in counted:
        order = read_order(log[hop.origin]) if hop.origin in log else None
        if order:
            exact[order["product"]] += Fraction(order["price"])
            counts[order["product"]] += 1
    kept: dict[str, Fraction] = defaultdict(Fraction)
    kept_counts: Counter[str] = Counter()
    for found in read_shards((one.key(), one.value()) for one in changelog).values():
        for product, (_, count, total) in found.held.items():
            kept[product] += total
            kept_counts[product] += count
    products = sorted({*exact, *kept})
    wrong = [one for one in products if (exact[one], counts[one]) != (kept[one], kept_counts[one])]
    report.problem("I2 wrong count or sum", [f"{one} {kept_counts[one]} for {counts[one]}" for one in wrong])


def _committed(report: Report, bootstrap: str, names: Names, changelog: list[Message]) -> None:
    newest = {(one.key() or b"").decode(): json.loads(one.value() or b"null") for one in changelog}
    for topic, group in ((names.orders, names.main_group), (names.retry, names.retry_group)):
        asker = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_committed"})
        slots = [TopicPartition(topic, number) for number in asker.list_topics(topic, 10).topics[topic].partitions]
        said = {f"{topic}/{one.partition}": one.offset for one in asker.committed(slots, 20)}
        asker.close()
        kept = {slot: newest[slot]["next_offset"] if slot in newest else -1001 for slot in said}
        report.problem(
            "I4 offset and state differ",
            [f"{slot} {said[slot]} {kept[slot]}" for slot in said if said[slot] != kept[slot]],
        )
