"""F1 to F4: what happens to processes."""

from __future__ import annotations

import re
import signal
import time
from itertools import pairwise
from statistics import median
from typing import Any

from tests.faults.bed import Bed
from tests.faults.crew import Member
from tests.faults.role import POINTS
from tests.faults.scenarios import scenario
from tests.support.waiting import eventually
from tests.support.witness import read_all

#: A zombie sleeps past session timeout (6 s) and transaction timeout (10 s).
ZOMBIE_SECONDS = 14.0
#: Past the session timeout only: its transaction commits late, and the new owner has waited for it.
SHORT_SECONDS = 8.0


@scenario("F1")
def kills_at_random(bed: Bed) -> None:
    """SIGKILL of main, retry, producer and viewer at random."""
    bed.open()
    bed.staff()
    viewer = bed.view()
    producer = bed.produce(1_000_000)  # it is killed long before
    bed.flow()
    rounds = 0
    while bed.producing:
        bed.kill_open()
        for member in bed.chance.sample(bed.members, 3):
            bed.kill(member)
            time.sleep(bed.chance.uniform(0, 0.3))  # a random moment, not a wait
        for _ in range(4):  # those who start, join and restore
            bed.kill(bed.chance.choice(bed.members))
            time.sleep(bed.chance.uniform(0, 1.0))
        viewer = bed.kill_viewer(viewer)
        rounds += 1
        if rounds == bed.length(1, 3):
            bed.kill_producer(producer)
            bed.produce(int(bed.length(15_000, 45_000)))
        bed.flow()


@scenario("F1")
def kills_at_points(bed: Bed) -> None:
    """SIGKILL at named points: around begin, send_offsets and commit, in on_revoke, in restore."""
    bed.open()
    bed.staff(consume=1, retry=1)
    bed.produce(1_000_000, 1000)
    bed.flow()
    wanted = [(verb, point) for verb in ("consume", "retry") for point in POINTS]
    bed.chance.shuffle(wanted)
    for verb, point in wanted[: int(bed.length(7, len(wanted)))]:
        number = 1 if point in ("in-revoke", "mid-restore") else bed.chance.randint(1, 8)
        others = [one for one in bed.members if one.verb == verb]
        victim = bed.start(verb, f"{point}:{number}:SIGKILL")
        if point != "mid-restore":
            victim.role.says("assigned")
        for other in others:  # so that the victim has all partitions, and comes to its point
            bed.leave(other)
        if point == "in-revoke":
            victim.role.process.send_signal(signal.SIGTERM)  # leaving is a revocation, and certain
        eventually(lambda victim=victim: not victim.alive, 45, f"{verb} dies {point}")
        bed.keep()
    bed.end_production()


@scenario("F2")
def zombies(bed: Bed) -> None:
    """SIGSTOP past session and transaction timeout: around begin and send_offsets, and at random."""
    bed.open()
    bed.staff(consume=1, retry=1)
    sleepers = [
        bed.start(verb, f"{point}:{bed.chance.randint(2, 6)}:SIGSTOP")
        for verb in ("consume", "retry")
        for point in ("before-begin", "before-offsets", "after-offsets")
    ]
    bed.produce(1_000_000, 1000)  # ended below: a machine so slow that orders run out would wake nobody
    for sleeper in sleepers:
        bed.await_point(sleeper)
    short = bed.start("consume", "after-offsets:3:SIGSTOP")
    bed.await_point(short)
    bed.thaw(short, SHORT_SECONDS)
    at_random = bed.start("consume")
    at_random.role.says("restored")
    bed.freeze(at_random, ZOMBIE_SECONDS)
    for sleeper in sleepers:
        bed.thaw(sleeper, 0)
    bed.flow(1000)
    bed.end_production()


@scenario("F3")
def slow_handler(bed: Bed) -> None:
    """A handler slower than max.poll.interval.ms: its partitions go to others, its outcome does not count."""
    bed.handler = "tests.faults.handlers:stuck"
    bed.needs_overlap = False  # that is the point: no transaction is open while a handler runs
    flag = bed.points / "stuck"
    bed.open(KAFKA="max.poll.interval.ms=7000", TEST_STUCK=str(flag), TEST_STUCK_SECONDS="15")
    bed.staff()
    bed.produce(1_000_000, 1000)
    for number in range(2):
        bed.flow()
        flag.touch()
        eventually(lambda: not flag.exists(), 30, "a handler is stuck")
        bed.strike("handler beyond max.poll.interval.ms")
        if number:
            bed.pass_time(16)
    bed.end_production()


@scenario("F4")
def rebalance_storm(bed: Bed) -> None:
    """A member joins or leaves every 2 s, classic protocol."""
    _storm(bed, "classic")


@scenario("F4")
def rebalance_storm_new_protocol(bed: Bed) -> None:
    """A member joins or leaves every 2 s, the consumer protocol (KIP-848)."""
    _storm(bed, "consumer")


@scenario("recovery")
def recovery(bed: Bed) -> None:
    """How long a partition stands still after SIGKILL of its consumer, and after a graceful stop."""
    bed.needs_overlap = False
    bed.open()
    bed.staff(consume=2, retry=1)
    bed.produce(1_000_000, 1000)
    bed.flow(2000)
    hits: list[tuple[str, float, set[int]]] = []
    for _ in range(int(bed.length(2, 6))):
        for how in ("SIGKILL", "SIGTERM"):
            victim = bed.chance.choice(calm(bed))
            hits.append((how, time.time() * 1000, owned(victim)))
            bed.remove(victim) if how == "SIGKILL" else bed.leave(victim)
            calm(bed)
            bed.flow(1000)
            bed.start("consume")
    bed.end_production()
    times: dict[str, list[int]] = {}
    for message in read_all(bed.bootstrap, bed.settings.averages_topic):
        times.setdefault((message.key() or b"").decode(), []).append(message.timestamp()[1])
    for how, at, partitions in hits:
        stood = [stood_still(times[f"{bed.settings.topic}/{one}"], at) for one in sorted(partitions)]
        bed.outcome.notes.setdefault(f"seconds without progress after {how}", []).extend(stood)
    for how, most in (("SIGKILL", bed.settings.session_timeout_ms / 1000 + 3), ("SIGTERM", 1.0)):
        middle = median(bed.outcome.notes[f"seconds without progress after {how}"])
        if middle >= most:
            bed.outcome.problems.append(f"recovery after {how} takes {middle:g} s in the median, not {most:g}")


def calm(bed: Bed) -> list[Member]:
    """Return the mains once each has partitions and nothing has moved for three seconds."""
    seen: list[Any] = [None, 0.0]

    def settled() -> bool:
        mains = [one for one in bed.members if one.verb == "consume"]
        now = [owned(one) for one in mains]
        if now != seen[0]:
            seen[:] = [now, time.monotonic()]
        return all(now) and sum(map(len, now)) == bed.settings.partitions and time.monotonic() - seen[1] > 3

    eventually(settled, 60, "a settled group")
    return [one for one in bed.members if one.verb == "consume"]


def owned(member: Member) -> set[int]:
    """Return the partitions that a role says it has."""
    found: set[int] = set()
    for action, numbers in re.findall(r": (assigned|gave up) \S+ ([\d,]+)\n", member.role.text()):
        moved = set(map(int, numbers.split(",")))
        found = found | moved if action == "assigned" else found - moved
    return found


def stood_still(times: list[int], at: float) -> float:
    """Return the longest time between two commits around ``at`` and after it, in seconds."""
    gaps = [after - before for before, after in pairwise(times) if after > at and before < at + 5_000]
    return round(max(gaps) / 1000, 3)


def _storm(bed: Bed, protocol: str) -> None:
    bed.open(GROUP_PROTOCOL=protocol, BATCH_MS="5000", BATCH_SIZE="20000")  # a batch is at hand at each rebalance
    bed.staff()
    seconds = bed.length(25, 180)
    bed.produce(int(seconds * 1200), 1200)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for verb in ("consume", "retry"):
            _come_or_go(bed, verb)
        bed.pass_time(2.0)


def _come_or_go(bed: Bed, verb: str) -> None:
    members = [one for one in bed.members if one.verb == verb]
    if len(members) < 2 or (len(members) < 4 and bed.chance.random() < 0.6):
        bed.strike("a member joins", bed.wait_open(0.3))
        bed.start(verb)
    elif bed.chance.random() < 0.3:
        bed.remove(bed.wait_open(0.3, verb) or bed.chance.choice(members))
    else:
        bed.strike("a member leaves", bed.wait_open(0.3))
        bed.leave(bed.chance.choice(members))
