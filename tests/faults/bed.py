"""The bed of a fault run: what is done to a crew, and what the checker says of it.

A scenario starts roles and producers, strikes, and leaves; :meth:`Bed.settle` heals, waits until all is drained,
and lets the checker judge. Whether a strike met an open transaction is told by the roles themselves (`role.py`).
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tests.faults.checker import check
from tests.faults.crew import DRAIN_SECONDS, MOST_PROBLEMS, Crew, Member, Outcome
from tests.faults.findings import Report
from tests.faults.role import OPEN, read_point
from tests.support.pipeline import Role
from tests.support.waiting import eventually


class Bed(Crew):
    """A crew, and the strikes against it."""

    def fire(self, what: str, strike: Callable[[], Any]) -> Any:
        """Do something to brokers or the network while a transaction is open, if one opens within 5 s."""
        met = self.wait_open() is not None
        answer = strike()
        self.strike(what, met)
        return answer

    def wait_open(self, within: float = 5.0, verb: str = "") -> Member | None:
        """Return a role that is inside a transaction, as soon as one is; None when none was so long."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for one in self.members:
                if verb in ("", one.verb) and one.alive and read_point(self.points, one.pid)[0] in OPEN:
                    return one
            time.sleep(0.0005)
        return None

    def kill_open(self, within: float = 5.0) -> Member:
        """SIGKILL a role inside a transaction, if one comes into one, else any; start it again."""
        return self.kill(self.wait_open(within) or self.chance.choice(self.members))

    def kill(self, member: Member) -> Member:
        """SIGKILL a role and start it again."""
        if not self.remove(member):
            return next((one for one in reversed(self.members) if one.verb == member.verb), member)
        return self.start(member.verb, **member.env)

    def remove(self, member: Member) -> bool:
        """SIGKILL a role, and let the others go on without it; False where it had ended by itself."""
        if not member.alive:
            self.keep()  # tells of it
            return False
        member.role.kill()
        self.members.remove(member)
        self.strike("SIGKILL", read_point(self.points, member.pid)[0] in OPEN)
        self.outcome.kills += 1
        return True

    def kill_producer(self, role: Role) -> None:
        """SIGKILL a producer: what it had not heard of has an unknown outcome."""
        assert role.process.poll() is None, f"the producer has ended: {role.text()}"
        role.kill()
        self.strike("SIGKILL producer", False)
        self.outcome.kills += 1

    def kill_viewer(self, role: Role) -> Role:
        """SIGKILL the viewer and start another one."""
        assert role.process.poll() is None, f"the viewer has ended: {role.text()}"
        role.kill()
        self.strike("SIGKILL viewer")
        self.outcome.kills += 1
        return self.view()

    def freeze(self, member: Member, seconds: float) -> None:
        """SIGSTOP a role for so long; the others go on."""
        member.role.process.send_signal(signal.SIGSTOP)
        self.strike("SIGSTOP", read_point(self.points, member.pid)[0] in OPEN)
        self.pass_time(seconds)
        member.role.process.send_signal(signal.SIGCONT)

    def await_point(self, member: Member, within: float = 60.0) -> None:
        """Wait until a role has signalled itself at its point."""
        eventually(lambda: read_point(self.points, member.pid)[1], within, f"{member.verb} reaches its point")

    def thaw(self, member: Member, seconds: float) -> None:
        """Let a role that has stopped itself at a named point sleep for so long, then wake it."""
        self.pass_time(seconds)
        point, _ = read_point(self.points, member.pid)
        self.strike(f"SIGSTOP at {point}", point in OPEN)
        member.role.process.send_signal(signal.SIGCONT)

    def pass_time(self, seconds: float) -> None:
        """Let faults last: the only thing that is waited for by the clock."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.keep()
            time.sleep(0.05)

    def finish(self, final: Callable[[], None]) -> None:
        """Have something done after the check, which ends what the pipeline is."""
        self._final = final

    def settle(self) -> Outcome:
        """Heal, drain, stop, check; return the run's outcome. A second time does nothing."""
        if self.outcome.seconds:
            return self.outcome
        for role in self.producers:
            role.process.wait(DRAIN_SECONDS)
        verbs = Counter(member.verb for member in self.members if member.alive)
        for verb in ("consume", "retry"):
            if not verbs[verb] and len(self.outcome.problems) < MOST_PROBLEMS:
                self.start(verb)
        try:
            eventually(
                lambda: self.keep() or len(self.tail.origins) >= self.expected(), self.drain_within, "drain"
            )
        except AssertionError:
            missing = self.expected() - len(self.tail.origins)
            self.outcome.problems.append(
                f"I7 {missing} orders have no outcome {self.drain_within:g} s after healing"
            )
        ended = max(file.stat().st_mtime for file in self.journals.iterdir())
        self.outcome.drain_seconds = round(time.time() - max(ended, self.struck_at), 1)
        self.leave_all()
        report = self.check()
        self.outcome.problems += report.problems
        proof = self.line.run("verify", "--deep", within=120) if self.verifies else None
        if proof and proof.returncode:  # the product's own proof has to agree with the checker
            self.outcome.problems.append(
                f"verify --deep: {proof.returncode} {proof.stdout[-500:]} {proof.stderr[-500:]}"
            )
        if self.needs_overlap and not self.outcome.overlapped:
            self.outcome.problems.append("no fault met an open transaction: this run shows nothing")
        self._final()
        self.outcome.report = {name: one for name, one in asdict(report).items() if name != "problems"}
        self.outcome.seconds = round(time.monotonic() - self.started, 1)
        return self.outcome

    def check(self) -> Report:
        """Let the checker judge."""
        self.tail.finish()
        return check(self.bootstrap, self.names, self.journals, dict(self.tail.seen), self.clock_moved)

    def close(self) -> None:
        """End what still runs."""
        for role in [*self.producers, *(member.role for member in self.members)]:
            if role.process.poll() is None:
                role.process.send_signal(signal.SIGCONT)
        self.line.close()
        if hasattr(self, "tail"):
            self.tail.stop()
