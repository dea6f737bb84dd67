"""The crew of a fault run: one pipeline on its own topics, its producers with their journals, its roles.

A role that ends by itself is a finding, whatever the topics say (:meth:`Crew.keep`).
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka_orders.domain.errors import EXIT_NO_BROKER
from kafka_orders.local import Cluster
from tests.faults.findings import Names
from tests.faults.role import OPEN, read_point
from tests.faults.tail import Tail
from tests.support.pipeline import Pipeline, Role
from tests.support.surroundings import alter_topic
from tests.support.waiting import eventually

#: Everything is drained so many seconds after healing.
DRAIN_SECONDS = 120.0
#: After so many problems, no role that ended by itself is started again.
MOST_PROBLEMS = 4


@dataclass
class Outcome:
    """One run, as it is written down."""

    scenario: str
    seed: int
    kills: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    overlapped: int = 0
    seconds: float = 0.0
    drain_seconds: float = 0.0
    report: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass
class Member:
    """A role that the bed started, and how it was started."""

    verb: str
    role: Role
    env: dict[str, str]
    ours: bool = False

    @property
    def pid(self) -> int:
        """Its process."""
        return self.role.process.pid

    @property
    def alive(self) -> bool:
        """It runs (or is stopped by SIGSTOP)."""
        return self.role.process.poll() is None


class Crew:
    """Starts roles and producers, and notices when one ends."""

    handler = "tests.faults.handlers:flaky"

    def __init__(
        self, bootstrap: str, folder: Path, scenario: str, seed: int, mutant: str = "", full: bool = False
    ) -> None:
        self.full = full
        #: A mutant that never drains need not be waited for as long.
        self.drain_within = 40.0 if mutant else DRAIN_SECONDS
        self.chance = random.Random(f"{scenario} {seed}")
        self.outcome = Outcome(scenario, seed)
        self.bootstrap, self.started, self._mutant = bootstrap, time.monotonic(), mutant
        self.points, self.journals = folder / "points", folder / "journals"
        for made in (self.points, self.journals):
            made.mkdir(parents=True)
        self.line = Pipeline(bootstrap, folder)
        self.line.extra.update(
            OUTPUT_TOPIC=f"{self.line.name}-output", RETRY_DELAY_MS="300", BATCH_SIZE="2000", MAX_RETRIES="3",
            SESSION_TIMEOUT_MS="6000", TEST_POINTS=str(self.points),
        )  # fmt: skip
        self.members: list[Member] = []
        self.producers: list[Role] = []
        self._next_seed = seed * 1000
        #: The brokers, where they are this run's own.
        self.cluster: Cluster
        self.tombstones = 0
        self._final: Callable[[], None] = lambda: None
        self.needs_overlap, self.clock_moved, self.verifies = True, False, True
        self.struck_at = 0.0

    def open(self, **settings: str) -> None:
        """Create the topics so that the checker sees every step and the broker's time of each record."""
        self.line.extra.update(settings)
        done = self.line.run("topics", "create")
        assert done.returncode == 0, done.stderr
        self.settings = self.line.settings()
        for topic in (self.settings.dlq_topic, self.settings.output_topic):
            alter_topic(self.bootstrap, topic, "message.timestamp.type", "LogAppendTime")
        alter_topic(self.bootstrap, self.settings.averages_topic, "min.compaction.lag.ms", "86400000")
        self.tail = Tail(self.bootstrap, self.settings.output_topic, self.settings.dlq_topic)
        self.tail.start()

    @property
    def names(self) -> Names:
        """What the checker has to know."""
        one = self.settings
        return Names(
            one.topic, one.retry_topic, one.dlq_topic, one.averages_topic, one.output_topic,
            one.group, one.retry_group, one.max_retries, one.retry_delay_ms, one.dlq_status_topic,
        )  # fmt: skip

    def start(self, verb: str, at: str = "", **env: str) -> Member:
        """Start a role; ``at`` is a named point, as in ``after-offsets:3:SIGKILL``."""
        if self._mutant:
            env["TEST_MUTANT"] = self._mutant
        told = {**env, "TEST_AT": at} if at else env
        role = self.line.start("-m", "tests.faults.role", verb, "--handler", self.handler, **told)
        member = Member(verb, role, env)
        self.members.append(member)
        return member

    def staff(self, consume: int = 2, retry: int = 2, **env: str) -> list[Member]:
        """Start some of each role."""
        verbs = ["consume"] * consume + ["retry"] * retry
        return [self.start(verb, **env) for verb in verbs]

    def produce(self, count: int, rate: float = 1500) -> Role:
        """Start a producer with a journal."""
        self._next_seed += 1
        role = self.line.start(
            "-m", "tests.faults.journal", "--bootstrap", self.line.bootstrap, "--topic", self.settings.topic,
            "--folder", str(self.journals), "--seed", str(self._next_seed), "--count", str(count),
            "--rate", str(rate),
        )  # fmt: skip
        self.producers.append(role)
        return role

    def end_production(self) -> None:
        """Have the producers stop; they wait for their reports."""
        for role in self.producers:
            if role.process.poll() is None:
                role.process.send_signal(signal.SIGTERM)

    @property
    def producing(self) -> bool:
        """A producer still runs."""
        return any(role.process.poll() is None for role in self.producers)

    def flow(self, orders: int = 100, within: float = 60.0) -> None:
        """Wait until so many more orders have an outcome."""
        goal = len(self.tail.origins) + orders

        def flowed() -> bool:
            self.keep()
            return len(self.tail.origins) >= (goal if self.producing else min(goal, self.expected()))

        eventually(flowed, within, "orders flow")

    def keep(self) -> None:
        """A role that ends without our doing is a finding, whatever the topics say."""
        for member in list(self.members):
            code = member.role.process.poll()
            if code is not None:
                self.members.remove(member)
                point, fired = read_point(self.points, member.pid)
                if fired and code == -signal.SIGKILL:
                    self.strike(f"SIGKILL at {point}", point in OPEN)
                    self.outcome.kills += 1
                    self.start(member.verb, **member.env)
                elif code == EXIT_NO_BROKER and " reads " not in (said := member.role.text()):
                    # It began while there was no broker: it ends after 15 s, and whoever runs it starts it again.
                    self.outcome.notes.setdefault("no broker at the start", []).append(said[-200:])
                    self.start(member.verb, **member.env)
                elif not member.ours:
                    said = member.role.text()[-600:]
                    self.outcome.problems.append(f"{member.verb} ended by itself with {code}: {said}")
                    if len(self.outcome.problems) < MOST_PROBLEMS:
                        self.start(member.verb, **member.env)

    def strike(self, what: str, overlapped: object = None) -> None:
        """Note a fault, and whether it met an open transaction."""
        self.outcome.fired[what] = self.outcome.fired.get(what, 0) + 1
        self.outcome.overlapped += bool(overlapped)
        self.struck_at = time.time()

    def view(self) -> Role:
        """Start the dead letter viewer, which only reads."""
        return self.line.start("-m", "kafka_orders", "dlq", "watch")

    def leave(self, member: Member) -> None:
        """Stop a role cleanly."""
        member.ours = True
        if member.alive:
            member.role.says("reads ")  # earlier, a signal ends it as it ends any program
        code = member.role.stop(30, signal.SIGTERM)
        self.members.remove(member)
        if code != 0:
            self.outcome.problems.append(
                f"{member.verb} ended with {code} after SIGTERM: {member.role.text()[-600:]}"
            )

    def leave_all(self) -> None:
        """Stop all roles cleanly."""
        for member in list(self.members):
            self.leave(member)

    def length(self, short: float, full: float) -> float:
        """Return how long something lasts: ``full`` in a campaign, ``short`` in `make test`."""
        return full if self.full else short

    def expected(self) -> int:
        """Return how many orders have to have an outcome."""
        return self.tail.log_size(self.settings.topic) - self.tombstones
