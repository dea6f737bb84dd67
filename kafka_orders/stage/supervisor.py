"""Several workers of one role under one supervisor: started and stopped together, restarted when they die."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kafka_orders.domain.errors import EXIT_FAILED, EXIT_NO_BROKER, EXIT_REFUSED, EXIT_USAGE
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.stop import Stop
from kafka_orders.stage.processes import Troupe, troupe

#: What a restart cannot mend: the settings are wrong, or going on could lose or double orders.
_FINAL = frozenset({EXIT_USAGE, EXIT_REFUSED})
#: Back-off: the first wait in seconds, doubled by each death up to the longest.
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
#: A worker that lived this many seconds starts with a clean record.
_SOUND_SECONDS = 60.0
#: Deaths in a row that end all.
_MOST_DEATHS = 6
_LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Worker:
    """One of the workers: how often and when it was started, its deaths in a row, when it is started again."""

    name: str
    number: int = 1
    born: float = 0.0
    starts: int = 1
    deaths: int = 0
    again_at: float | None = None


def fate(worker: Worker, code: int, now: float) -> float | None:
    """Return the seconds until a worker that ended with ``code`` is started again; None: it is not."""
    if code in _FINAL:
        return None
    if code == EXIT_NO_BROKER:  # at the first start there is none; later it is only away, as for the others
        return None if worker.starts == 1 else _FIRST_WAIT
    worker.deaths = 1 if now - worker.born >= _SOUND_SECONDS else worker.deaths + 1
    if worker.deaths >= _MOST_DEATHS:
        return None
    return float(min(_FIRST_WAIT * 2 ** (worker.deaths - 1), _LONGEST_WAIT))


def supervise(
    settings: Settings, verb: str, count: int, write: Callable[[str], None], say: Callable[[str], None]
) -> int:
    """Run ``count`` workers of a role until a signal, or until one cannot be helped; return the exit code.

    A worker that dies loses nothing: its partitions go to the others until it is back.
    """
    with (
        Stop().on_signals() as stop,
        troupe(settings, lambda name, line: write(f"{name} | {line}"), stop) as roles,
    ):
        workers = [Worker(f"{verb}-{number}", number) for number in range(1, count + 1)]
        for worker in workers:
            _start(roles, worker, verb)
        while not stop.requested:
            for worker in workers:
                if (code := _look(roles, worker, verb, say)) is not None:
                    return code
            time.sleep(_LOOK_SECONDS)
        say("stopping: batches are finished and committed, the group is left ...")
    return 0


def _start(roles: Troupe, worker: Worker, verb: str) -> None:
    if (port := roles.settings.metrics_port) and worker.number > 1:
        roles.start(worker.name, verb, "--metrics-port", str(port + worker.number - 1))  # one endpoint each
    else:
        roles.start(worker.name, verb)
    worker.starts += worker.again_at is not None
    worker.born, worker.again_at = time.monotonic(), None


def _look(roles: Troupe, worker: Worker, verb: str, say: Callable[[str], None]) -> int | None:
    """Restart a worker whose time has come; return the exit code of one that cannot be helped."""
    now = time.monotonic()
    if worker.again_at is not None:
        if now >= worker.again_at:
            _start(roles, worker, verb)
        return None
    code = roles.ended(worker.name)
    if code is None:
        return None
    wait = fate(worker, code, now)
    if wait is None:
        say(f"{worker.name} has ended (exit {code}), which starting it again does not mend; all are stopped")
        return code if code > 0 else EXIT_FAILED
    say(f"{worker.name} has ended (exit {code}); its partitions go to the others, it starts again in {wait:g} s")
    worker.again_at = now + wait
    return None
