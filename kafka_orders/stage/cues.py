"""Cues from a page to the process that owns the roles: a local connection with a secret, nothing on the network.

The page is a process of its own, so that the pipeline does not notice its end; so it cannot kill or start roles
itself. It asks `up`, whose children they are.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from kafka_orders.domain.errors import KafkaOrdersError

#: Tell a page where to ask; the secret goes through the environment, which only this user can read.
ADDRESS, SECRET = "KAFKA_ORDERS_STAGE", "KAFKA_ORDERS_STAGE_SECRET"


@dataclass(frozen=True, slots=True)
class Actor:
    """A process of the pipeline; ``slow_ms`` is what its handler waits for each order."""

    name: str
    verb: str
    pid: int
    running: bool
    slow_ms: int = 0


@dataclass(frozen=True, slots=True)
class StageState:
    """What runs, and how the knobs stand: orders per second, and the share of each product that fails."""

    actors: tuple[Actor, ...] = ()
    rate: float = 0.0
    fails: Mapping[str, float] = field(default_factory=dict)
    #: None: the broker is not ours to play with.
    broker: bool | None = None
    #: What was done last, the newest first.
    log: tuple[str, ...] = ()


#: A broker's start takes a few seconds; nothing takes so many.
_PATIENCE_SECONDS = 90.0

Answer = tuple[str, object]
Served = Callable[[str, tuple[str | float, ...]], object]


class CueListener:
    """Answers cues on threads of its own."""

    def __init__(self, serve: Served) -> None:
        self._serve, self._secret, self._closed = serve, secrets.token_bytes(32), False
        self._folder = tempfile.TemporaryDirectory(prefix="kafka-orders-")
        address = None if os.name == "nt" else str(Path(self._folder.name) / "stage")
        self._listener = Listener(address, None if address else "AF_PIPE", authkey=self._secret)
        threading.Thread(target=self._accept, name="cues", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a page has to know."""
        return {ADDRESS: str(self._listener.address), SECRET: self._secret.hex()}

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except Exception:  # a stranger without the secret, or a page that died while it asked
                if self._closed:
                    return
                continue
            threading.Thread(target=self._answer, args=(connection,), name="cue", daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection, suppress(EOFError, OSError):
            while True:
                action, told = connection.recv()
                try:
                    answer: Answer = "done", self._serve(action, told)
                except KafkaOrdersError as error:
                    answer = "refused", str(error)
                except Exception as error:  # a defect of ours must not end the pipeline
                    answer = "refused", f"{type(error).__name__}: {error}"
                connection.send(answer)

    def close(self) -> None:
        """Answer no more."""
        self._closed = True
        self._listener.close()
        self._folder.cleanup()


class RemoteStage:
    """The stage, as a page sees it."""

    def __init__(self, address: str, secret: str) -> None:
        self._address, self._secret = address, bytes.fromhex(secret)
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @classmethod
    def of_environment(cls) -> RemoteStage | None:
        """Return the stage that this process was told of."""
        address, secret = os.environ.get(ADDRESS), os.environ.get(SECRET)
        return cls(address, secret) if address and secret else None

    def state(self) -> StageState:
        """Return what runs, and how the knobs stand."""
        found = self._ask("state", ())
        return found if isinstance(found, StageState) else StageState()

    def do(self, action: str, *told: str | float) -> str:
        """Do something, and return what was done.

        Raises:
            KafkaOrdersError: it cannot be done.
        """
        return str(self._ask(action, told))

    def _ask(self, action: str, told: tuple[str | float, ...]) -> object:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = Client(self._address, authkey=self._secret)
                self._connection.send((action, told))
                if not self._connection.poll(_PATIENCE_SECONDS):
                    raise EOFError("no answer")
                how, answer = self._connection.recv()
            except (EOFError, OSError) as error:
                self._connection = None
                raise KafkaOrdersError("`up` does not answer: it has ended") from error
        if how != "done":
            raise KafkaOrdersError(str(answer))
        return answer
