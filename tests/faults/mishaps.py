"""What can go wrong behind the proxy of the fault tests; `Proxy` makes these and calls them on its loop."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING

from tests.faults.frames import ADD_OFFSETS, ADD_PARTITIONS, END_TXN, INIT_PRODUCER_ID, Link, Request, error_in

if TYPE_CHECKING:
    from tests.faults.proxy import Proxy


class Fault:
    """Something that goes wrong ``times`` times with one api; tells how often it has."""

    def __init__(self, proxy: Proxy, api: int = -1, prefix: str = "", times: int = 0) -> None:
        self.proxy, self.api, self.prefix, self.times = proxy, api, prefix, times
        self.fired, self.count = threading.Event(), 0
        self._changed = threading.Condition()

    def fire(self, text: str) -> None:
        """Count, and tell those who wait."""
        self.proxy.note(text)
        with self._changed:
            self.count += 1
            self._changed.notify_all()
        self.fired.set()

    def wait(self, seconds: float, count: int = 1) -> bool:
        """Wait until it has fired ``count`` times in all; say whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, seconds)

    def stop(self) -> None:
        """Let it not fire again."""
        self.times = 0

    def hits(self, request: Request) -> bool:
        """Say whether this request is of those that go wrong."""
        return request.key == self.api and request.transactional_id.startswith(self.prefix)

    async def request(self, _link: Link, _request: Request, _frame: bytes) -> bool:
        """Say whether a request goes on to the broker."""
        return True

    async def answer(self, _link: Link, _request: Request, _frame: bytes) -> bool:
        """Say whether an answer goes on to the client."""
        return True


class Late(Fault):
    """Keeps a commit's EndTxn and breaks the connection; the broker gets it when it is released."""

    def __init__(self, proxy: Proxy, prefix: str, times: int, after: int | None, before: int | None) -> None:
        super().__init__(proxy, END_TXN, prefix, times)
        self.answers: list[int] = []  #: The broker's codes for the late EndTxn; -1: it could not be reached.
        self._after, self._before = after, before
        self._ended = self._opened = False
        self._kept: tuple[int, Request, bytes] | None = None

    @property
    def answer_code(self) -> int | None:
        """The newest of the answers: 0 accepted, 47 INVALID_PRODUCER_EPOCH, 90 PRODUCER_FENCED.

        51 CONCURRENT_TRANSACTIONS comes when it is released so soon that the commit is not yet complete.
        """
        return self.answers[-1] if self.answers else None

    def release(self) -> int | None:
        """Let the broker have what is kept; return its error code, None if nothing was kept."""
        return self.proxy.run(self._release())

    def result(self, seconds: float, count: int = 1) -> int:
        """Wait for the broker's answer to the late EndTxn number ``count``."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.answers) >= count, seconds):
                raise AssertionError(f"no answer to a late EndTxn within {seconds:g} s: {self.proxy.events[-10:]}")
        return self.answers[count - 1]

    async def request(self, link: Link, request: Request, frame: bytes) -> bool:
        if self._kept:
            if self._opened and self._ours(request) and request.key == self._before:
                await asyncio.shield(asyncio.ensure_future(self._release()))
            return True
        if self.count >= self.times or not (self.hits(request) and request.commits):
            return True
        self._kept, self._ended, self._opened = (link.broker, request, frame), False, False
        link.cut()
        self.fire(f"EndTxn of {request.transactional_id} kept")
        return False

    async def answer(self, _link: Link, request: Request, frame: bytes) -> bool:
        if not self._ours(request) or error_in(request, frame):
            return True
        if request.key in (END_TXN, INIT_PRODUCER_ID):
            self._ended, self._opened = True, False
        elif self._ended and request.key in (ADD_PARTITIONS, ADD_OFFSETS):
            self._opened = True
        if self._ended and request.key == self._after:
            await asyncio.shield(asyncio.ensure_future(self._release()))
        return True

    def _ours(self, request: Request) -> bool:
        return self._kept is not None and self._kept[1].transactional_id == request.transactional_id

    async def _release(self) -> int | None:
        if self._kept is None:
            return None
        (broker, request, frame), self._kept = self._kept, None
        try:
            code = error_in(request, await asyncio.wait_for(self.proxy.ask(broker, frame), 10))
        except (OSError, EOFError, TimeoutError):
            code = -1
        self.proxy.note(f"late EndTxn of {request.transactional_id} answered with {code}")
        with self._changed:
            self.answers.append(code)
            self._changed.notify_all()
        return code


class LostAnswer(Fault):
    """The broker does what it is asked, the client is not told."""

    mute_seconds, _until = 0.0, 0.0

    async def answer(self, link: Link, request: Request, _frame: bytes) -> bool:
        mute = time.monotonic() < self._until
        if not self.hits(request) or (not mute and self.count >= self.times):
            return True
        if not mute:
            self._until = time.monotonic() + self.mute_seconds
            self.fire(f"answer to api {request.key} {request.transactional_id} lost, mute {self.mute_seconds:g} s")
        if not self.mute_seconds:
            link.cut()
        return False


class Hold(Fault):
    """Requests wait, and those behind them."""

    seconds = 0.0

    async def request(self, _link: Link, request: Request, _frame: bytes) -> bool:
        if self.count < self.times and self.hits(request):
            self.fire(f"api {request.key} {request.transactional_id} held for {self.seconds:g} s")
            await asyncio.sleep(self.seconds)
        return True


class Slow(Fault):
    """Every frame takes longer; chance has some stall, as lost packets do, or break their connection."""

    seconds = stall_chance = stall_seconds = reset_chance = until = 0.0
    chance = random.Random()

    def stop(self) -> None:
        self.until = 0.0

    def delay(self) -> float | None:
        """Return what the next frame has to wait; None breaks its connection."""
        if time.monotonic() >= self.until:
            return 0.0
        if self.chance.random() < self.reset_chance:
            self.fire("a frame broke its connection")
            return None
        if self.chance.random() < self.stall_chance:
            self.fire(f"a frame stalls for {self.stall_seconds:g} s")
            return self.seconds + self.stall_seconds
        return self.seconds
