"""F17: a random mix of faults for minutes, and two roles that live through them without growing."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from statistics import median
from typing import NamedTuple

import psutil

from tests.faults.bed import Bed
from tests.faults.crew import Member
from tests.faults.scenarios import scenario
from tests.faults.scenarios.brokers import Brokers, under_load
from tests.faults.scenarios.state import poison
from tests.support.surroundings import send

#: The client's allocator keeps what the longest backlog took that an outage left, so that memory grows with the
#: worst outage so far and not with time; a leak of 100 bytes an order would be 24 MB after ten minutes.
GROWTH_MB, GROWTH_RATIO = 10.0, 1.05
#: Connections, and the threads of the client that serve them, come and go with brokers and groups.
MORE = 3
#: After the last fault, before what is open at rest is counted.
REST_SECONDS = 5.0
#: No stop is so long that the group misses its member, none of the zombies of F2.
LONGEST_STOP = 4.5


class Size(NamedTuple):
    """What a process takes."""

    rss_mb: float
    fds: float
    threads: float


class Meter(threading.Thread):
    """Notes the size of a role every second."""

    def __init__(self, member: Member) -> None:
        super().__init__(daemon=True)
        self._process, self._ended = psutil.Process(member.pid), threading.Event()
        self.sizes: list[Size] = []

    def run(self) -> None:
        """Note until ended."""
        with suppress(psutil.NoSuchProcess):
            while not self._ended.wait(1.0):
                with self._process.oneshot():
                    rss = self._process.memory_info().rss / 2**20
                    self.sizes.append(Size(rss, self._process.num_fds(), self._process.num_threads()))

    def end(self) -> list[Size]:
        """Return the medians of the four quarters."""
        self._ended.set()
        self.join()
        quarter = len(self.sizes) // 4
        parts = [self.sizes[number * quarter : (number + 1) * quarter] for number in range(4)]
        return [Size(*(round(median(column), 1) for column in zip(*part, strict=True))) for part in parts]


def _growth(first: Size, warm: Size, last: Size, end: Size) -> list[str]:
    """Say what has grown: memory from the second quarter to the last, the first one warms up.

    Connections come and go with each fault, so files and threads are compared at rest, before the first and after
    the last.
    """
    found = []
    if last.rss_mb > warm.rss_mb * GROWTH_RATIO + GROWTH_MB:
        found.append(f"memory {warm.rss_mb} to {last.rss_mb} MB")
    for name in ("fds", "threads"):
        if getattr(end, name) > getattr(first, name) + MORE:
            found.append(f"{name} {getattr(first, name)} to {getattr(end, name)}")
    return found


def _strike(bed: Bed, brokers: Brokers, others: list[Member]) -> None:
    """One fault of the mix; ``others`` are the roles that may be touched."""
    kind = bed.chance.choices(("kill", "freeze", "join", "leave", "broker", "poison"), (6, 3, 3, 3, 1, 2))[0]
    victim = bed.chance.choice(others)
    open_one = bed.wait_open(1.0)
    if kind == "kill":
        bed.kill(open_one if open_one in others else victim)
    elif kind == "freeze":
        bed.freeze(open_one if open_one in others else victim, bed.chance.uniform(0.5, LONGEST_STOP))
    elif kind == "join" and len(others) < 6:
        bed.strike("a member joins", open_one)
        bed.start(bed.chance.choice(("consume", "retry")))
    elif kind == "leave" and len(others) > 2:
        bed.strike("a member leaves", open_one)
        bed.leave(victim)
    elif kind == "broker":
        bed.fire("SIGKILL of the broker", bed.cluster.kill)
        bed.pass_time(bed.chance.uniform(0.5, 5))
        brokers.back()
    elif kind == "poison":
        values = poison(bed.chance)
        bed.tombstones += sum(value is None for value in values)
        records = [{"value": value, "key": f"poison-{bed.chance.random()}"} for value in values]
        refused = send(bed.bootstrap, bed.settings.topic, *records)
        assert not any(refused), refused
        bed.strike("poison", open_one)


@scenario("F17", brokers=1)
def soak(bed: Bed) -> None:
    """A random mix for ten minutes; memory, fds and threads of two roles left alone but for brokers stay flat."""
    # By default glibc keeps an arena for each of many threads, and in each what a backlog took: a plateau of about
    # 100 MB, reached after many outages, that would hide a leak for as long as this lasts. Hence one arena.
    os.environ["MALLOC_ARENA_MAX"] = "1"
    with under_load(bed, poisoned=True) as brokers:
        watched = bed.members[0], bed.members[2]  # one of each verb
        meters = {member.verb: Meter(member) for member in watched}
        for meter in meters.values():
            meter.start()
        deadline = time.monotonic() + bed.length(45, 600)
        while time.monotonic() < deadline:
            _strike(bed, brokers, [one for one in bed.members if one not in watched])
            bed.pass_time(bed.chance.uniform(0.5, 2.5))
        bed.flow(1000)
        bed.pass_time(REST_SECONDS)
        for verb, meter in meters.items():
            quarters = meter.end()
            bed.outcome.notes[verb] = [size._asdict() for size in (meter.sizes[0], *quarters, meter.sizes[-1])]
            for one in _growth(meter.sizes[0], quarters[1], quarters[3], meter.sizes[-1]):
                bed.outcome.problems.append(f"F17 {verb} is not flat: {one}")
