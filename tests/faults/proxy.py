"""A TCP proxy before every broker that reads Kafka's frames, and delays, loses or keeps what a test says.

Clients that bootstrap through it stay behind it: the brokers' addresses in their answers become its own.
It runs on an event loop in a thread of its own; what is public may be called from any other thread.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from confluent_kafka.admin import AdminClient

from tests.faults.frames import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TXN,
    HOST,
    INIT_PRODUCER_ID,
    Link,
    error_in,
    moved,
    put,
    read,
    read_request,
)
from tests.faults.mishaps import Fault, Hold, Late, LostAnswer, Slow

T = TypeVar("T")
F = TypeVar("F", bound=Fault)

_BUFFER = 1 << 20


class Proxy:
    """One port per broker; `bootstrap` names them. What cannot be read fails the test at the end."""

    def __init__(self, bootstrap: str) -> None:
        brokers = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).brokers
        assert all(one.host == HOST.decode() for one in brokers.values()), f"not on {HOST!r}: {brokers}"
        self._real = {number: one.port for number, one in brokers.items()}
        self._ports: dict[int, int] = {}
        self._down = dict.fromkeys(brokers, 0.0)
        self._faults: list[Fault] = []
        self._slow: Slow | None = None
        self._links: set[Link] = set()
        self._open: frozenset[str] = frozenset()
        self.events: list[tuple[float, str]] = []
        self.unread: list[str] = []
        #: Requests by (api key, version).
        self.requests: Counter[tuple[int, int]] = Counter()

    def __enter__(self) -> Proxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.run(self._listen())
        self.bootstrap = ",".join(f"{HOST.decode()}:{port}" for port in self._ports.values())
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        assert kind or not self.unread, self.unread

    def late(
        self, prefix: str = "", *, times: int = 1, into_next: bool = False,
        after: int = ADD_PARTITIONS, before: int | None = None,
    ) -> Late:  # fmt: skip
        """Keep the next committing EndTxn of a transactional.id with this prefix; the client sends it again.

        With ``into_next`` the broker gets it in the next transaction: when it has accepted the first request
        of api ``after``, before the client knows; or, once that transaction is open, right ``before`` one.
        ADD_OFFSETS is the worst: the records stand, their offsets do not. After it the client meets a fatal
        error; before it, none at all. Without ``into_next`` it is the test that releases it.
        """
        between = (None, before) if before is not None else (after, None)
        return self._add(Late(self, prefix, times, *(between if into_next else (None, None))))

    def lose_answer(
        self, api: int = END_TXN, prefix: str = "", *, times: int = 1, mute_seconds: float = 0
    ) -> LostAnswer:
        """Drop answers and break the connection, or keep it and drop all such answers for some seconds."""
        fault = LostAnswer(self, api, prefix, times)
        fault.mute_seconds = mute_seconds
        return self._add(fault)

    def hold(self, api: int, seconds: float, prefix: str = "", *, times: int = 1) -> Hold:
        """Delay requests, and what comes after them on their connection."""
        fault = Hold(self, api, prefix, times)
        fault.seconds = seconds
        return self._add(fault)

    def _add(self, fault: F) -> F:
        self._faults.append(fault)
        return fault

    def cut(self, broker: int | None = None) -> Fault:
        """Break all connections, to one broker or all; the count is their number."""
        return self.down(0, broker)

    def down(self, seconds: float, broker: int | None = None) -> Fault:
        """Break all connections and refuse new ones for so long."""
        fault = Fault(self)
        self.run(self._cut(fault, seconds, broker))
        return fault

    def slow(
        self, seconds: float, stall_chance: float, stall_seconds: float, for_seconds: float,
        chance: random.Random, reset_chance: float = 0,
    ) -> Slow:  # fmt: skip
        """Delay every frame, both ways; some stall, some break their connection."""
        slow = Slow(self)
        slow.seconds, slow.stall_chance, slow.stall_seconds = seconds, stall_chance, stall_seconds
        slow.until, slow.chance, slow.reset_chance = time.monotonic() + for_seconds, chance, reset_chance
        self._slow = slow
        return slow

    def in_transaction(self, prefix: str = "") -> bool:
        """Say whether a transaction is open now, as far as its client can know."""
        return any(name.startswith(prefix) for name in self._open)

    def note(self, text: str) -> None:
        """Write down what happened."""
        self.events.append((time.monotonic(), text))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(15)

    async def ask(self, broker: int, frame: bytes) -> bytes:
        """Send a request over a connection of its own and return the answer."""
        reader, writer = await asyncio.open_connection(HOST.decode(), self._real[broker])
        try:
            put(writer, frame)
            return await read(reader)
        finally:
            writer.close()

    async def _listen(self) -> None:
        self._servers = []
        for broker, real in self._real.items():
            serve = partial(self._serve, broker)
            server = await asyncio.start_server(serve, HOST.decode(), 0, limit=_BUFFER)
            self._servers.append(server)
            self._ports[real] = server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._cut(Fault(self), math.inf, None)
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=5)

    async def _cut(self, fault: Fault, seconds: float, broker: int | None) -> None:
        for number in self._real if broker is None else [broker]:
            self._down[number] = time.monotonic() + seconds
        for link in [one for one in self._links if broker in (None, one.broker)]:
            link.cut()
            fault.fire(f"connection to broker {link.broker} cut, down for {seconds:g} s")

    async def _serve(self, broker: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(HOST.decode(), self._real[broker], limit=_BUFFER)
        except OSError:
            writer.transport.abort()
            return
        link = Link(broker, (reader, writer), server)
        if time.monotonic() < self._down[broker]:
            link.cut()
            return
        self._links.add(link)
        pumps = [asyncio.ensure_future(pump(link)) for pump in (self._requests, self._answers)]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            for ended in await asyncio.gather(*pumps, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, OSError | EOFError):
                    self._unreadable(repr(ended))
            writer.close()
            server[1].close()

    def _unreadable(self, text: str) -> None:
        self.unread.append(text)
        self.note(text)

    async def _requests(self, link: Link) -> None:
        while not link.broken:
            frame = await read(link.client[0])
            request = read_request(frame)
            self.requests[request.key, request.version] += 1
            for fault in tuple(self._faults):
                if not await fault.request(link, request, frame):
                    break
            else:
                if request.key in (ADD_PARTITIONS, ADD_OFFSETS):
                    self._open |= {request.transactional_id}
                link.pending.append(request)
                await self._forward(link, link.server[1], frame)

    async def _answers(self, link: Link) -> None:
        while not link.broken:
            frame = await read(link.server[0])
            request = link.answered(frame)
            if request.key in (END_TXN, INIT_PRODUCER_ID) and not error_in(request, frame):
                self._open -= {request.transactional_id}
            for fault in tuple(self._faults):
                if not await fault.answer(link, request, frame):
                    break
            else:
                await self._forward(link, link.client[1], moved(request.key, frame, self._ports))

    async def _forward(self, link: Link, writer: asyncio.StreamWriter, frame: bytes) -> None:
        """Write a frame, now or when it is due: later frames wait behind it, but are not delayed twice."""
        delay = self._slow.delay() if self._slow else 0.0
        now = self._loop.time()
        if delay is None:
            link.cut()
        elif delay or link.due[writer] > now:
            link.due[writer] = max(now + delay, link.due[writer] + 1e-6)
            self._loop.call_at(link.due[writer], put, writer, frame)
        else:
            put(writer, frame)
            await writer.drain()
