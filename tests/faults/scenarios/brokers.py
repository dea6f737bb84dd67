"""F5 to F7 and F11: what happens to brokers: killed, stopped, without room on their disk.

The only broker, or one of three. Which of three does what is asked of the cluster itself, see :class:`Brokers`.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, TopicMetadata

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local import record
from kafka_orders.pipeline.watchdog import STUCK_SECONDS
from tests.faults.bed import Bed
from tests.faults.scenarios import scenario
from tests.support.waiting import eventually
from tests.support.witness import read_all

#: Orders a second: there has to be work for minutes.
RATE = 400
#: On a machine that does much else, a broker takes that long to recover its log.
START_SECONDS = 240.0
#: With one of three away, work goes on within so many seconds.
GOES_ON_SECONDS = 60.0
#: After the only one has come back: a client's handle may stay silent for good then (DESIGN.md, 14), and the
#: watchdog gives it a minute before it builds a new one.
FLOWS_AGAIN_SECONDS = STUCK_SECONDS + 60.0
#: All that the handler under test says of an order; anything else in a dead letter blames another.
_HANDLER_SAYS = ("makes no sense", "the warehouse does not answer")
_GROUPS, _TRANSACTIONS = "__consumer_offsets", "__transaction_state"


def slot_of(name: str, partitions: int) -> int:
    """Return the partition that keeps a group or a transactional.id: Java's hashCode, Utils.abs, modulo."""
    code = 0
    for letter in name:
        code = (31 * code + ord(letter)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % partitions


class Brokers:
    """The brokers of a run, by number, and which of them does what at this moment."""

    def __init__(self, bed: Bed) -> None:
        self._bed, self._folder = bed, bed.cluster.folder

    def process(self, number: int) -> psutil.Process | None:
        """Return a broker's process while it lives."""
        held = record.load(self._folder)
        assert held is not None
        return held.running[number].process()

    def data(self, number: int) -> Path:
        """Return the log directory of a broker."""
        return self._folder / f"broker-{number}" / "data"

    def _topics(self) -> dict[str, TopicMetadata]:
        client = AdminClient({"bootstrap.servers": self._bed.bootstrap, "log_level": 0})  # an old one may be stale
        try:
            return client.list_topics(timeout=5).topics
        except KafkaException:
            return {}

    def _leader(self, topic: str, partition: Callable[[int], int]) -> int:
        def told() -> int:
            found = self._topics()
            slots = found[topic].partitions if topic in found else {}
            return max(slots[partition(len(slots))].leader, 0) if slots else 0

        return eventually(told, 30, f"a leader in {topic}")

    def leader(self) -> int:
        """Return who leads a partition of the orders."""
        return self._leader(self._bed.settings.topic, self._bed.chance.randrange)

    def group_coordinator(self) -> int:
        """Return who coordinates the main group."""
        return self._leader(_GROUPS, lambda count: slot_of(self._bed.names.main_group, count))

    def transaction_coordinator(self) -> int:
        """Return who coordinates the transactions of a main worker, by the transactional.id that it names."""
        member = self._bed.chance.choice([one for one in self._bed.members if one.verb == "consume"])
        found = re.search(r"reads \S+ in group \S+ as (\S+)", member.role.says("reads "))
        assert found, member.role.text()
        return self._leader(_TRANSACTIONS, lambda count: slot_of(found[1], count))

    def controller(self) -> int:
        """Return who leads the quorum: each voter keeps on disk whom it knows to lead, and in which epoch."""

        def told() -> int:
            files = self._folder.glob("broker-*/data/__cluster_metadata-0/quorum-state")
            known = [json.loads(file.read_text()) for file in files]
            newest = max(known, key=lambda one: (one["leaderEpoch"], one["leaderId"]))
            return max(newest["leaderId"], 0)

        return eventually(told, 30, "a leader of the quorum")

    def back(self) -> None:
        """Start what is away, and wait until each has caught up."""
        status = self._bed.cluster.start(progress=False, ready_within=180)  # other runs want the machine, too
        assert status.bootstrap_servers == self._bed.bootstrap, "the ports were taken meanwhile"

        def caught_up() -> bool:
            slots = [slot for topic in self._topics().values() for slot in topic.partitions.values()]
            return bool(slots) and all(len(slot.isrs) == len(slot.replicas) for slot in slots)

        eventually(lambda: self._bed.keep() or caught_up(), 90, "all replicas are in sync")


@contextmanager
def under_load(bed: Bed, poisoned: bool = False) -> Iterator[Brokers]:
    """Run a pipeline; at the end all brokers are there, all drains, and no order is dead because of a broker."""
    bed.open()
    bed.staff()
    bed.produce(1_000_000, RATE)
    bed.flow()
    brokers = Brokers(bed)
    yield brokers
    brokers.back()
    bed.flow(1000)
    bed.end_production()
    bed.settle()
    if not poisoned:
        _none_blamed(bed)


def _none_blamed(bed: Bed) -> None:
    said = [dict(one.headers() or [])["error"] or b"" for one in read_all(bed.bootstrap, bed.names.dlq)]
    blamed = [
        one for one in (error.decode() for error in said) if not any(words in one for words in _HANDLER_SAYS)
    ]
    if blamed:
        bed.outcome.problems.append(f"{len(blamed)} orders are dead because of a broker, e.g. {blamed[:3]}")


def _goes_on(bed: Bed, what: str, orders: int = 1000, within: float = GOES_ON_SECONDS) -> None:
    """Work goes on; how soon, is noted."""
    began = time.monotonic()
    bed.flow(orders, within)
    took = round(time.monotonic() - began, 1)
    bed.outcome.notes.setdefault(f"seconds until {orders:,} more orders", {})[what] = took


def _stands_still(bed: Bed, seconds: float) -> None:
    """Nothing gets an outcome without a majority; what was under way has a moment to be seen."""
    bed.pass_time(2)
    before = len(bed.tail.origins)
    bed.pass_time(seconds)
    after = len(bed.tail.origins)
    assert after == before, f"{after - before} orders got an outcome while that was impossible"


@scenario("F5", brokers=1)
def only_broker_killed(bed: Bed) -> None:
    """SIGKILL of the only broker while orders flow, some seconds later its restart; again and again."""
    with under_load(bed) as brokers:
        for number in range(1, int(bed.length(2, 4)) + 1):
            bed.fire("SIGKILL of the only broker", bed.cluster.kill)
            bed.pass_time(bed.chance.uniform(1, bed.length(8, 20)))
            brokers.back()
            _goes_on(bed, f"after return {number}", 500, FLOWS_AGAIN_SECONDS)


@scenario("F5", brokers=3)
def one_of_three_killed(bed: Bed) -> None:
    """SIGKILL in turn of an orders leader, the group and a transaction coordinator, and the controller."""
    with under_load(bed) as brokers:
        roles = {
            "leader of an orders partition": brokers.leader,
            "group coordinator": brokers.group_coordinator,
            "transaction coordinator": brokers.transaction_coordinator,
            "controller": brokers.controller,
        }
        for name in bed.chance.sample(list(roles), len(roles)):
            victim = roles[name]()
            bed.fire(f"SIGKILL of the {name}", lambda victim=victim: bed.cluster.kill(victim))
            bed.pass_time(bed.chance.uniform(5, bed.length(8, 23)))
            _goes_on(bed, f"without the {name}")
            brokers.back()


@scenario("F6", brokers=3)
def two_of_three_then_all_killed(bed: Bed) -> None:
    """SIGKILL of two of three brokers at once, then of the last one; then all are started again."""
    with under_load(bed) as brokers:
        *two, last = bed.chance.sample((1, 2, 3), 3)
        bed.fire("SIGKILL of two of three brokers", lambda: [bed.cluster.kill(one) for one in two])
        _stands_still(bed, bed.length(6, 25))
        bed.fire("SIGKILL of the last of three brokers", lambda: bed.cluster.kill(last))
        _stands_still(bed, bed.length(4, 25))
        brokers.back()


@scenario("F7", brokers=1)
def only_broker_stopped(bed: Bed) -> None:
    """SIGSTOP of the only broker for longer than clients and transactions have patience."""
    with under_load(bed) as brokers:
        process = brokers.process(1)
        assert process is not None
        bed.fire("SIGSTOP of the only broker", process.suspend)
        bed.pass_time(bed.length(12, 30))
        process.resume()


@scenario("F7", brokers=3)
def one_of_three_stopped(bed: Bed) -> None:
    """SIGSTOP of an orders leader, and of a transaction coordinator: they are replaced, and come back."""
    with under_load(bed) as brokers:
        roles = {"leader": brokers.leader, "transaction coordinator": brokers.transaction_coordinator}
        for name in bed.chance.sample(list(roles), int(bed.length(1, 2))):
            process = brokers.process(roles[name]())
            assert process is not None
            bed.fire(f"SIGSTOP of a {name}", process.suspend)
            bed.pass_time(bed.length(12, 30))
            _goes_on(bed, f"with a stopped {name}")
            process.resume()
            brokers.back()


def _ends(bed: Bed, brokers: Brokers, number: int) -> None:
    """A broker that cannot write its log ends by itself."""
    eventually(lambda: bed.keep() or brokers.process(number) is None, 60, "the broker gives up")
    files = [file.read_text(errors="replace") for file in sorted(brokers.data(number).parent.glob("*.log"))]
    found = [re.search(".*(File too large|Operation not permitted|Read-only file system)", one) for one in files]
    bed.outcome.notes["the broker says"] = [one[0][:200] for one in found if one]


def _full(bed: Bed, brokers: Brokers, number: int) -> None:
    """No file of a broker may grow beyond a size that one nearly has: a write fails halfway, as on a full disk.

    Files of its own program's log hit that limit, too, as they would.
    """
    bed.flow(2000)  # a log younger than its first 4 KiB has no index yet, and making that is what would fail
    process = brokers.process(number)
    assert process is not None
    files = "*/*.log"
    most = 1000 + max(file.stat().st_size for file in brokers.data(number).glob(files))
    _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    bed.fire("disk full", lambda: process.rlimit(psutil.RLIMIT_FSIZE, (most, hard)))
    _ends(bed, brokers, number)
    torn = [file.parent.name for file in brokers.data(number).glob(files) if file.stat().st_size == most]
    assert torn, "it ended, but not because its log had no room"
    bed.outcome.notes["no room in"] = torn


@scenario("F11", brokers=1)
def disk_full(bed: Bed) -> None:
    """No room for the only broker (a limit on the size of its files): it ends, and is started with room again."""
    with under_load(bed) as brokers:
        _full(bed, brokers, 1)
        bed.pass_time(bed.length(3, 15))


@scenario("F11", brokers=3)
def disk_full_for_one_of_three(bed: Bed) -> None:
    """No room for one of three brokers: it ends, work goes on, and it is started with room again."""
    with under_load(bed) as brokers:
        _full(bed, brokers, brokers.leader())
        bed.pass_time(bed.length(3, 15))
        _goes_on(bed, "with a full disk")


def _immutable(folder: Path, sign: str) -> str:
    """Let nobody write below a folder (+), not even root, whom modes do not bind, or again (-); tell why not."""
    try:
        # Its exit code tells nothing of a folder where files come and go.
        done = subprocess.run(
            ["chattr", "-R", f"{sign}i", str(folder)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "there is no chattr"
    return done.stderr


@scenario("F11", brokers=1)
def log_directory_read_only(bed: Bed) -> None:
    """The only broker may not write its log directory any more: it ends, is not started, and then is."""
    with under_load(bed) as brokers:
        probe = bed.points.parent / "probe"
        probe.mkdir()
        complaint, _ = _immutable(probe, "+"), _immutable(probe, "-")
        if complaint:  # needs root and a file system that has this attribute
            bed.outcome.notes["skipped"], bed.needs_overlap = complaint, False
            return
        try:
            bed.fire("log directory read-only", lambda: _immutable(brokers.data(1), "+"))
            _ends(bed, brokers, 1)
            bed.cluster.start(progress=False)
        except LocalKafkaError as refused:
            bed.outcome.notes["broker start says"] = str(refused)[:200]
        else:
            raise AssertionError("a broker started on a log directory that cannot be written")
        finally:
            _immutable(brokers.data(1), "-")
