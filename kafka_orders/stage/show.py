"""What a presenter can play with: the roles' processes, their knobs, and the broker if it is ours."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.local import Cluster
from kafka_orders.pipeline.knobs import Setting
from kafka_orders.stage.cues import Actor, StageState
from kafka_orders.stage.processes import Troupe

#: Workers of one role at the most: a page must not fill a machine.
_MOST_WORKERS = 6
_MOST_RATE = 50_000.0
_MOST_SLOW_MS = 10_000
_LOG = 20

#: The verb of each kind of role.
VERBS = {"main": ("consume",), "retry": ("retry",), "dlq": ("dlq", "watch"), "producer": ("produce",)}


@dataclass(slots=True)
class Show:
    """The processes of a pipeline, each with a file of knobs; every change is made by one at a time."""

    roles: Troupe
    folder: Path
    cluster: Cluster | None
    say: Callable[[str], None]
    setting: Setting = field(default_factory=Setting)
    #: Ended on purpose: their end is no failure of the pipeline.
    killed: set[str] = field(default_factory=set)
    #: Milliseconds that a worker's handler waits, by its name.
    slow: dict[str, int] = field(default_factory=dict)
    broker_runs: bool = True
    _log: deque[str] = field(default_factory=lambda: deque(maxlen=_LOG))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, name: str) -> None:
        """Start a role under a name such as main-2."""
        with self._lock:
            self._write(name)
            path = str(self._knobs(name))
            self.roles.start(name, *VERBS[name.partition("-")[0]], KAFKA_ORDERS_KNOBS=path)
            self.killed.discard(name)

    def _knobs(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _write(self, name: str) -> None:
        replace(self.setting, slow_ms=self.slow.get(name, 0)).write(self._knobs(name))

    def failed(self) -> str | None:
        """Return the name of a role that ended by itself."""
        with self._lock:
            names = (name for name in self.roles.children if name not in self.killed)
            return next((name for name in names if self.roles.ended(name) is not None), None)

    def serve(self, action: str, told: tuple[str | float, ...]) -> object:
        """Do what a page asks for, and return what was done.

        Raises:
            KafkaOrdersError: it cannot be done.
        """
        if action == "state":
            return self.state()
        known: dict[str, Callable[..., str]] = {
            "kill": self._kill, "start": self._start, "add": self._add, "slow": self._slow, "rate": self._rate,
            "fail": self._fail, "broker": self._broker,
        }  # fmt: skip
        if action not in known:
            raise KafkaOrdersError(f"nothing here can {action}")
        with self._lock:
            try:
                done = known[action](*told)
            except (TypeError, ValueError) as error:
                raise KafkaOrdersError(f"cannot {action} {told}: {error}") from error
            if not self._log or self._log[0] != done:
                self._log.appendleft(done)
            self.say(f"page     | {done}")
            return done

    def state(self) -> StageState:
        """Return what runs, and how the knobs stand."""
        with self._lock:
            actors = tuple(
                Actor(name, name.partition("-")[0], child.process.pid, child.process.poll() is None,
                      self.slow.get(name, 0))
                for name, child in sorted(self.roles.children.items()) if name.partition("-")[0] in VERBS
            )  # fmt: skip
            broker = self.broker_runs if self.cluster is not None else None
            return StageState(actors, self.setting.rate or 0.0, dict(self.setting.fails), broker, tuple(self._log))

    def _actor(self, name: str) -> str:
        if name.partition("-")[0] not in VERBS or name not in self.roles.children:
            raise KafkaOrdersError(f"there is no role {name!r}")
        return name

    def _kill(self, name: str) -> str:
        self.killed.add(self._actor(name))
        self.roles.kill(name)
        return f"{name} was killed (SIGKILL)"

    def _start(self, name: str) -> str:
        if self.roles.ended(self._actor(name)) is None:
            raise KafkaOrdersError(f"{name} runs already")
        self.begin(name)
        return f"{name} was started"

    def _add(self, kind: str) -> str:
        if kind not in ("main", "retry"):
            raise KafkaOrdersError(f"there is no role {kind!r} to add")
        taken = {name for name in self.roles.children if name.partition("-")[0] == kind}
        if len(taken) >= _MOST_WORKERS:
            raise KafkaOrdersError(f"{len(taken)} are enough")
        name = next(one for number in range(2, 99) if (one := f"{kind}-{number}") not in taken)
        self.begin(name)
        return f"{name} was added"

    def _slow(self, name: str, milliseconds: float) -> str:
        self.slow[self._actor(name)] = max(0, min(_MOST_SLOW_MS, int(milliseconds)))
        self._write(name)
        return f"{name} takes {self.slow[name]} ms for each order"

    def _rate(self, per_second: float) -> str:
        # 0 would be as fast as possible, which is not what a slider's end looks like.
        self._turn(replace(self.setting, rate=max(0.1, min(_MOST_RATE, float(per_second)))))
        return f"{self.setting.rate:g} orders a second"

    def _fail(self, product: str, share: float) -> str:
        kept = max(0.0, min(1.0, float(share)))
        fails = {**self.setting.fails, str(product)[:100]: kept}
        self._turn(replace(self.setting, fails={name: one for name, one in fails.items() if one}))
        return f"{kept:.0%} of {product} fails"

    def _turn(self, setting: Setting) -> None:
        self.setting = setting
        for name in self.roles.children:
            if name.partition("-")[0] in VERBS:
                self._write(name)

    def _broker(self, what: str) -> str:
        if self.cluster is None:
            raise KafkaOrdersError("the broker was there before: it is not ours to stop")
        if what == "kill":
            self.cluster.kill()
            self.broker_runs = False
            return "the broker was killed (SIGKILL); everything waits for it"
        self.cluster.start(progress=False)
        self.broker_runs = True
        return "the broker was started again"
