"""A pipeline of real processes on its own topics and groups, started, killed and stopped by tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kafka_orders.domain.settings import Settings
from kafka_orders.sources import load
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

#: The commands of the tour.
MAIN = ("-m", "consumer.main_consumer")
RETRY = ("-m", "retry.retry_consumer")
PRODUCER = ("-m", "producer.producer")
VIEWER = ("-m", "dlq.dlq_consumer")


@dataclass
class Role:
    """A running process and the file that takes its output."""

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def says(self, words: str, within: float = 30.0) -> str:
        """Wait until it has printed ``words``; return all it has printed."""

        def found() -> bool:
            if words in self.text():
                return True
            assert self.process.poll() is None, f"ended ({self.process.returncode}): {self.text()}"
            return False

        eventually(found, within, f"{words!r} in {self.log}")
        return self.text()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, within: float = 20.0, number: int = signal.SIGINT) -> int:
        """Ctrl-C; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(within)


@dataclass
class Pipeline:
    """Names, environment and processes of one test's pipeline."""

    bootstrap: str
    home: Path
    name: str = field(default_factory=lambda: "t-" + uuid.uuid4().hex[:8])
    extra: dict[str, str] = field(default_factory=dict)
    roles: list[Role] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """The environment of its processes; nothing of the tester's own settings."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KAFKA_ORDERS_")}
        ours = {
            "BOOTSTRAP_SERVERS": self.bootstrap,
            "HOME": str(self.home),
            "TOPIC": f"{self.name}-orders",
            "RETRY_TOPIC": f"{self.name}-retry",
            "DLQ_TOPIC": f"{self.name}-dlq",
            "AVERAGES_TOPIC": f"{self.name}-averages",
            "DLQ_STATUS_TOPIC": f"{self.name}-status",
            "GROUP": f"{self.name}-main",
            "RETRY_GROUP": f"{self.name}-retry",
            "DLQ_GROUP": f"{self.name}-dlq",
            "SESSION_TIMEOUT_MS": "6000",
            **self.extra,
        }
        return {
            **clean,
            **{f"KAFKA_ORDERS_{key}": value for key, value in ours.items()},
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }

    def settings(self) -> Settings:
        """Return the settings its processes have."""
        return load(environ=self.env, folder=self.home)

    def start(self, *command: str, cwd: Path = ROOT, **extra: str) -> Role:
        """Start a Python command in the background; ``extra`` are more settings."""
        log = self.home / f"{len(self.roles)}-{command[1].replace('.', '-')}.log"
        env = {**self.env, **{f"KAFKA_ORDERS_{key}": value for key, value in extra.items()}}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=cwd, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        role = Role(process, log)
        self.roles.append(role)
        return role

    def run(self, *command: str, within: float = 60.0, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run ``kafka-orders`` with a command to its end."""
        env = {**self.env, **{f"KAFKA_ORDERS_{key}": value for key, value in extra.items()}}
        return subprocess.run(
            [sys.executable, "-m", "kafka_orders", *command],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=within, check=False,
        )  # fmt: skip

    def produce(self, count: int, rate: float = 0.0, seed: int = 1) -> None:
        """Produce orders and wait until all are acknowledged."""
        done = self.run("produce", "--count", str(count), "--rate", str(rate), "--seed", str(seed))
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        """End whatever still runs."""
        for role in self.roles:
            if role.process.poll() is None:
                role.kill()


@contextmanager
def pipeline(bootstrap: str, home: Path, **extra: str) -> Iterator[Pipeline]:
    """Give a pipeline whose processes end with the block."""
    made = Pipeline(bootstrap, home, extra=extra)
    try:
        yield made
    finally:
        made.close()
