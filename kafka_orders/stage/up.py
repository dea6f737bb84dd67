"""Everything at once until Ctrl-C: a broker if there is none, producer, main, retry, dead letters, the page."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from kafka_orders.domain.errors import EXIT_USAGE, KafkaOrdersError
from kafka_orders.domain.settings import Settings
from kafka_orders.local import Cluster
from kafka_orders.log.probe import broker_count
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.knobs import Setting
from kafka_orders.pipeline.stop import Stop
from kafka_orders.stage.cues import CueListener
from kafka_orders.stage.processes import Troupe, troupe
from kafka_orders.stage.show import Show
from kafka_orders.views.exposing import SHARED_FOLDER

_PROBE_SECONDS = 3.0
_LOOK_SECONDS = 0.2
#: A page that has ended is started again after this many seconds; the pipeline does not notice.
_PAGE_AGAIN_SECONDS = 2.0
PAGE = "page"

Say = Callable[[str], None]


def up(
    settings: Settings, say: Say, write: Callable[[str], None], *, progress: bool, page: tuple[str, ...] = ()
) -> None:
    """Run the whole pipeline until a signal; then stop the roles, and the broker if it was started here.

    ``page`` are the arguments of `serve`; none: no page.

    Raises:
        KafkaOrdersError: a role ended by itself, or the broker could not be started.
    """
    settings = replace(settings, metrics_port=0)  # one port for many roles; the page tells all of them
    with Stop().on_signals() as stop, _broker(settings, say, progress=progress) as cluster, _folder() as folder:
        upkeep.create(settings, say)
        with troupe(settings, lambda name, line: write(f"{name:8} | {line}"), stop) as roles:
            setting = Setting(settings.rate or None, dict.fromkeys(settings.fail, 1.0))
            show = Show(roles, folder, cluster, write, setting)
            for name in ("main", "retry", "dlq", "producer"):
                show.begin(name)
            with closing(CueListener(show.serve)) as cues:
                shown = _Page(roles, page if _has_page(page, say) else (), cues.environment, say)
                say("everything runs; Ctrl-C stops it")
                _watch(show, shown, stop)
            say("stopping: batches are finished and committed, groups are left ...")
    say("stopped; the data stays")


def _watch(show: Show, page: _Page, stop: Stop) -> None:
    while not stop.requested:
        if (name := show.failed()) is not None and name != PAGE:
            code = show.roles.ended(name)
            raise KafkaOrdersError(f"{name} has ended by itself (exit {code}); its last lines say why")
        page.look(time.monotonic())
        time.sleep(_LOOK_SECONDS)


@dataclass(slots=True)
class _Page:
    """The page's process, which may end at any time: it is started again, and nothing else happens."""

    roles: Troupe
    arguments: tuple[str, ...]
    environment: dict[str, str]
    say: Say
    again_at: float | None = field(default=0.0)

    def look(self, now: float) -> None:
        """Start it, when it is time to."""
        if not self.arguments:
            return
        if self.again_at is None and (code := self.roles.ended(PAGE)) is not None:
            if code == EXIT_USAGE:
                self.say("the page cannot be served, its last line says why; the pipeline goes on without it")
                self.arguments = ()
                return
            self.say(f"the page has ended (exit {code}) and is started again; the pipeline goes on")
            self.again_at = now + _PAGE_AGAIN_SECONDS
        if self.again_at is not None and now >= self.again_at:
            self.roles.start(PAGE, *self.arguments, **self.environment)
            self.again_at = None


def _has_page(page: tuple[str, ...], say: Say) -> bool:
    if page and find_spec("nicegui") is None:
        say("no page: it needs pip install 'kafka-orders[dashboard]', in a clone -r requirements-dashboard.txt")
        return False
    return bool(page)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder for knobs, and for the metrics of all roles, which the page tells together."""
    with tempfile.TemporaryDirectory(prefix="kafka-orders-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if find_spec("prometheus_client") is None:
            yield folder
            return
        shared = folder / "metrics"
        shared.mkdir()
        os.environ[SHARED_FOLDER] = str(shared)
        try:
            yield folder
        finally:
            os.environ.pop(SHARED_FOLDER, None)


@contextmanager
def _broker(settings: Settings, say: Say, *, progress: bool) -> Iterator[Cluster | None]:
    """Give the broker that was started here; None where there was one before."""
    if broker_count(settings.bootstrap_servers, _PROBE_SECONDS):
        say(f"using the broker at {settings.bootstrap_servers}")
        yield None
        return
    first = settings.bootstrap_servers.split(",")[0]
    say(f"no broker at {first}: starting the embedded Kafka ...")
    cluster = Cluster(Path(settings.home), port=int(first.rpartition(":")[2]))
    cluster.start(progress=progress)
    try:
        yield cluster
    finally:
        cluster.stop()
