"""Roles as child processes: real ones, so that they can really be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.stop import SUPERVISED, Stop
from kafka_orders.sources import as_environment

#: A role finishes its batch, commits and leaves its group well within this many seconds.
_STOP_SECONDS = 30.0

#: Told of every line a child prints: its name and the line.
Heard = Callable[[str, str], None]


@dataclass(slots=True)
class Child:
    """One role; a crash of ours cannot kill it, its own end is seen by :meth:`Troupe.check`."""

    process: subprocess.Popen[str]
    listener: threading.Thread


@dataclass(slots=True)
class Troupe:
    """Children that are started, watched and stopped together."""

    settings: Settings
    heard: Heard
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, **extra: str) -> None:
        """Start ``kafka-orders ARGUMENTS`` under a name; a dead child of that name is replaced.

        ``extra`` are more variables of its environment.
        """
        command = [sys.executable, "-m", "kafka_orders", *arguments]
        ours = {**as_environment(self.settings), "PYTHONUNBUFFERED": "1", SUPERVISED: "1"}
        environment = {**os.environ, **ours, **extra}
        # A group of its own: Ctrl-C in the terminal is ours to pass on, once, not the children's twice.
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # Windows, which passes over the session
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", start_new_session=True, creationflags=flags,
        )  # fmt: skip
        listener = threading.Thread(target=self._listen, args=(name, process.stdout), daemon=True)
        listener.start()
        self.children[name] = Child(process, listener)

    def _listen(self, name: str, lines: IO[str]) -> None:
        for line in lines:
            self.heard(name, line.rstrip("\n"))

    def kill(self, name: str) -> None:
        """End a child as a crash would: SIGKILL."""
        self.children[name].process.kill()
        self.children[name].process.wait()

    def kill_all(self) -> None:
        """End all at once: a crash of each, which loses nothing."""
        for child in self.children.values():
            child.process.kill()

    def ended(self, name: str) -> int | None:
        """Return the exit code of a child, None while it runs; a signal's number is negative."""
        return self.children[name].process.poll()

    def check(self) -> None:
        """Fail when a child has ended by itself.

        Raises:
            KafkaOrdersError: naming it and its exit code.
        """
        for name in self.children:
            if (code := self.ended(name)) is not None:
                raise KafkaOrdersError(f"{name} has ended by itself (exit {code}); its last lines say why")

    def stop(self) -> None:
        """Ask all to finish their batch and leave; kill what does not. Killing loses nothing either."""
        for child in self.children.values():
            if child.process.poll() is None:
                child.process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        for child in self.children.values():
            try:
                child.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.process.kill()
            child.listener.join(5.0)
        self.children.clear()


@contextmanager
def troupe(settings: Settings, heard: Heard, stop: Stop) -> Iterator[Troupe]:
    """Give a troupe that is stopped with the block, and killed by a second signal."""
    made = Troupe(settings, heard)
    stop.at_once = made.kill_all
    try:
        yield made
    finally:
        made.stop()
