"""Everything at once until Ctrl-C: a broker if there is none, producer, main, retry, dead letter viewer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka_orders.domain.settings import Settings
from kafka_orders.local import Cluster
from kafka_orders.log.probe import broker_count
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.stop import Stop
from kafka_orders.stage.processes import troupe

_PROBE_SECONDS = 3.0
_LOOK_SECONDS = 0.2

#: Name and verb of what runs, in the order of their start.
_ROLES = {"main": ("consume",), "retry": ("retry",), "dlq": ("dlq", "watch"), "producer": ("produce",)}


def up(settings: Settings, say: Callable[[str], None], write: Callable[[str], None], *, progress: bool) -> None:
    """Run the whole pipeline until a signal; then stop the roles, and the broker if it was started here.

    Raises:
        KafkaOrdersError: a role ended by itself, or the broker could not be started.
    """
    with Stop().on_signals() as stop, _broker(settings, say, progress=progress):
        upkeep.create(settings, say)
        with troupe(settings, lambda name, line: write(f"{name:8} | {line}"), stop) as roles:
            for name, verb in _ROLES.items():
                roles.start(name, *verb)
            say("everything runs; Ctrl-C stops it")
            while not stop.requested:
                roles.check()
                time.sleep(_LOOK_SECONDS)
            say("stopping: batches are finished and committed, groups are left ...")
    say("stopped; the data stays")


@contextmanager
def _broker(settings: Settings, say: Callable[[str], None], *, progress: bool) -> Iterator[None]:
    if broker_count(settings.bootstrap_servers, _PROBE_SECONDS):
        say(f"using the broker at {settings.bootstrap_servers}")
        yield
        return
    first = settings.bootstrap_servers.split(",")[0]
    say(f"no broker at {first}: starting the embedded Kafka ...")
    cluster = Cluster(Path(settings.home), port=int(first.rpartition(":")[2]))
    cluster.start(progress=progress)
    try:
        yield
    finally:
        cluster.stop()
