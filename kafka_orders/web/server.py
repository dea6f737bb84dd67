"""The server: report, tools, API, metrics and page behind one guard, in one process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI

from kafka_orders._version import __version__
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.roles import Job
from kafka_orders.pipeline.stop import Stop
from kafka_orders.report.live import Live
from kafka_orders.web.actions import acting
from kafka_orders.web.api import health_of, reading
from kafka_orders.web.exposition import metrics_of
from kafka_orders.web.guard import Doorman, Guard
from kafka_orders.web.problems import add_end, add_problems
from kafka_orders.web.tools import Tools

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(slots=True)
class Site:
    """What is served, and to whom. ``tokens`` are by operator's name; without any, only this machine is served."""

    settings: Settings
    job: Job
    host: str = "127.0.0.1"
    port: int = 8090
    tokens: dict[str, str] = field(default_factory=dict)
    read_only: bool = False
    #: Names, beside this machine's own, under which browsers may ask for it.
    names: frozenset[str] = frozenset()

    @property
    def shown(self) -> str:
        """The host as it stands in addresses, and so in a Host header."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def doorman(self) -> Doorman:
        """Return who decides about requests."""
        return Doorman(self.names | {self.shown.lower()}, self.tokens)

    def check(self) -> None:
        """Refuse what would let anyone in.

        Raises:
            SettingsError: another address than this machine's is to be served without a token.
        """
        if (self.host not in _LOOPBACK or self.names) and not self.tokens:
            reached = ", ".join((self.host, *self.names))
            raise SettingsError(
                f"{reached} can be reached from other machines, and whoever reaches this page may replay and"
                " discard: give a --token-file, or leave --host and --allow-host away. Nothing is served"
            )


def app_of(live: Live, tools: Tools, mount: Callable[[FastAPI], None] = lambda _app: None) -> FastAPI:
    """Return the app without its guard; ``mount`` adds the page."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        live.start()
        yield
        tools.close()
        live.close()

    app = FastAPI(
        title="kafka-orders", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        summary="A pipeline's report, and its dead letters: grouped, replayed, edited, proven to be resolved.",
    )  # fmt: skip
    add_problems(app)
    app.include_router(health_of(live))
    app.include_router(reading(live, tools))
    app.include_router(acting(tools))
    app.include_router(metrics_of(live))
    for prefix in ("/api", "/health", "/metrics", "/openapi.json"):
        add_end(app, prefix)
    mount(app)
    return app


def serve(
    site: Site, stop: Stop, say: Callable[[str], None], mount: Callable[[FastAPI, Live, Tools], None]
) -> None:
    """Serve until a stop is asked for.

    Raises:
        SettingsError: the address cannot be used, or would let anyone in.
    """
    site.check()
    bound = _bound(site)
    live = Live(site.settings, site.job.decode)
    tools = Tools(site.settings, site.job, site.read_only)
    app = app_of(live, tools, lambda made: mount(made, live, tools))
    guarded = Guard(app, site.doorman())
    config = uvicorn.Config(
        guarded, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=3,
        ws_max_size=2**20, server_header=False,
    )  # fmt: skip
    where = f"http://{site.shown}:{bound.getsockname()[1]}/"
    server = _Server(config, stop, lambda: say(f"{where} shows the pipeline; its API is /api/v1 (/openapi.json)"))
    with bound:
        server.run([bound])


def _bound(site: Site) -> socket.socket:
    family = socket.AF_INET6 if ":" in site.host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((site.host, site.port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"{site.host}:{site.port} cannot be used: {error.strerror}. Choose another --port"
        ) from None
    return bound


class _Server(uvicorn.Server):
    """A server that ends when a stop is asked for; signals are the stop's own."""

    def __init__(self, config: uvicorn.Config, stop: Stop, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop, self._ready = stop, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so only then: who reads it may ask at once."""
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the stop: a second one ends at once, as everywhere."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Look for a stop, ten times a second."""
        if self._stop.requested:
            self.should_exit = True
        return await super().on_tick(counter)
