"""The demo: the whole story in less than a minute, ended by a proof."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.opening import codec_of
from kafka_orders.local import Cluster
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.stop import Stop
from kafka_orders.stage.journey import journey
from kafka_orders.stage.processes import Troupe, troupe
from kafka_orders.views.verify import Verdict, verify

#: The product whose every try fails.
FAILING = "Item3"
#: Producing takes about this long, so that there is a crash in the middle of something.
_PRODUCE_SECONDS = 5.0
#: From the last order to the last dead letter: retries, a session time-out, and room.
_DRAIN_SECONDS = 120.0
#: Until main and retry have joined their groups and restored their state.
_READY_SECONDS = 60.0
#: Lines of the roles' own output that are shown.
_MOST_LINES = 16

Say = Callable[[str], None]


@dataclass(slots=True)
class Demo:
    """Tells the story step by step on ``write``; ``say`` is talk beside it."""

    settings: Settings
    orders: int
    write: Say
    say: Say
    progress: bool
    show: Callable[[Settings, Verdict], None]
    printed: int = 0
    ready: set[str] = field(default_factory=set)
    codec: Codec = field(init=False)

    def __post_init__(self) -> None:
        self.codec = codec_of(self.settings)  # once: for a .proto schema it starts a compiler

    def run(self, *, own_broker: bool) -> Verdict:
        """Play it to its end.

        Raises:
            KafkaOrdersError: a role ended by itself, or not all orders came through in time.
        """
        with self._broker(own=own_broker), Stop().on_signals() as stop:
            upkeep.create(self.settings, self.say)
            self._step(2, f"main and retry consumers start; every order for {FAILING} will fail, in both")
            with troupe(self.settings, self._heard, stop) as roles:
                roles.start("main", "consume")
                roles.start("retry", "retry")
                self._await_ready(roles, stop)
                self._produce(roles, stop)
                verdict = self._drain(roles, stop)
            self._tell_journey()
            self._step(7, "the averages, and the proof")
            self.show(self.settings, verdict)
            return verdict

    @contextmanager
    def _broker(self, *, own: bool) -> Iterator[None]:
        if not own:
            self._step(1, f"using the Kafka at {self.settings.bootstrap_servers}")
            yield
            return
        self._step(1, "a real Apache Kafka starts on this machine (no Docker, no Java installed)")
        folder = Path(self.settings.home) / "demo"
        cluster = Cluster(Path(self.settings.home), name="demo", port=None)
        cluster.stop()  # one that a killed demo left
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        status = cluster.start(progress=self.progress)
        self.settings = replace(self.settings, bootstrap_servers=status.bootstrap_servers)
        self.write(f"   ready at {status.bootstrap_servers} after {time.monotonic() - started:.1f} s")
        try:
            yield
        finally:
            cluster.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def _await_ready(self, roles: Troupe, stop: Stop) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not {"main", "retry"} <= self.ready and not stop.requested:
            roles.check()
            if time.monotonic() > deadline:
                raise KafkaOrdersError(f"main and retry were not ready within {_READY_SECONDS:g} s")
            time.sleep(0.1)

    def _produce(self, roles: Troupe, stop: Stop) -> None:
        rate = self.orders / _PRODUCE_SECONDS
        half = self.orders // 2
        form = self.codec.own.kind.title()
        self._step(3, f"{self.orders} random orders are sent as {form}, seed {self.settings.seed}")
        first = replace(self.settings, count=half, rate=rate)
        self._send(first, stop)
        roles.check()
        self._step(4, f"after {half} orders the main consumer is killed (SIGKILL), and started again")
        roles.kill("main")
        roles.start("main", "consume")
        seed = None if self.settings.seed is None else self.settings.seed + 1
        self._send(replace(first, count=self.orders - half, seed=seed), stop)

    def _send(self, settings: Settings, stop: Stop) -> None:
        done = produce(settings, self.codec, lambda _order, _report: None, self.say, stop)
        if done.acknowledged < settings.count:
            raise KafkaOrdersError(f"only {done.acknowledged} of {settings.count} orders were acknowledged")

    def _drain(self, roles: Troupe, stop: Stop) -> Verdict:
        self._step(5, f"failed orders are {_fate(self.settings)}")
        deadline = time.monotonic() + _DRAIN_SECONDS
        before = (-1, -1, -1)
        while True:
            verdict = verify(self.settings, self.codec.decode, deep=False)
            now = (verdict.waiting, verdict.dead, verdict.unread)
            if now != before:
                # A dead member's partitions are given to others only when its session has ended.
                unread = f"; {verdict.unread} wait for the killed consumer's session to end"
                line = f"   {verdict.counted} counted, {verdict.waiting} waiting, {verdict.dead} dead"
                self.write(line + (unread if verdict.unread else ""))
                before = now
            if not verdict.waiting and not verdict.unread:
                return verify(self.settings, self.codec.decode, deep=True)
            roles.check()
            if stop.requested:
                raise KafkaOrdersError("interrupted; nothing is lost")
            if time.monotonic() > deadline:
                raise KafkaOrdersError(f"not done after {_DRAIN_SECONDS:g} s: {verdict.sentence}")
            time.sleep(0.5)

    def _tell_journey(self) -> None:
        self._step(6, "the journey of one dead order")
        for line in journey(self.settings):
            self.write(f"   {line}")

    def _heard(self, name: str, line: str) -> None:
        # A taste of each role's output; the rest would run away from the reader.
        self.printed += 1
        if "restored" in line:
            self.ready.add(name)
        if self.printed <= _MOST_LINES:
            self.write(f"   {name:5} | {line}")

    def _step(self, number: int, text: str) -> None:
        self.write(f"{number}. {text}")


def _fate(settings: Settings) -> str:
    policy = replace(settings.policy, jitter=0.0)
    waits = [f"{policy.wait_ms(attempt, '') / 1000:g}" for attempt in range(1, settings.max_retries + 1)]
    if not waits:
        return "dead letters at once"
    last = f" and {waits[-1]}" if len(waits) > 1 else waits[-1]
    return f"tried again after {', '.join(waits[:-1])}{last} seconds, then they are dead letters"
