"""What may be a handler, and how each kind of it is called: step 2 calls them all as one function of an order."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, NoReturn

from kafka_orders.domain.errors import PermanentError, SettingsError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.order import field_of
from kafka_orders.formats.base import Encode
from kafka_orders.pipeline.desk import Meta

#: ``handler(order)`` or ``handler(order, meta)``; plain or async. It returns if all is well, or raises.
Handler = Callable[..., Any]

#: What says nothing, and has run for sure.
_PLAIN = frozenset({dict, bytes, str, bool, int, float, list, tuple})
#: What a handler may return in place of having done its work.
_NOT_RUN = (Iterator, AsyncIterator, Future)


def checked(handler: Handler) -> Handler:
    """Return ``handler``, or refuse what could be counted without having run.

    Raises:
        SettingsError: it cannot be called with an order, or it is a generator function, or it is async and an
            event loop runs already on this thread.
    """
    if not callable(handler):
        raise SettingsError(f"handler {handler!r} cannot be called")
    called = _called(handler)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise SettingsError(f"handler {handler!r} is a generator: give a plain function (it would never run)")
    if inspect.iscoroutinefunction(called) and _loop_runs():
        raise SettingsError(
            f"handler {handler!r} is async, and an event loop runs on this thread already: run the app in a"
            " thread of its own (asyncio.to_thread), it brings its own loop"
        )
    _takes_meta(handler)
    return handler


def called_with(handler: Handler, meta: Callable[[], Meta]) -> Callable[[Any], Any]:
    """Return the handler as a function of an order alone; ``meta`` tells of the record at hand.

    Raises:
        SettingsError: it takes no argument, or demands more than two.
    """
    match _takes_meta(handler):
        case "by name":
            return lambda order: handler(order, meta=meta())
        case "by position":
            return lambda order: handler(order, meta())
        case _:
            return handler


def _takes_meta(handler: Handler) -> str:
    """Say whether a handler takes the record's :class:`Meta`: it demands two arguments, or one is called meta."""
    try:
        # A decorator made with functools.wraps shows the inner signature, but it is the outer that is called.
        inner, outer = inspect.signature(handler), inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):  # a builtin without one
        return "no"
    if "meta" in inner.parameters and _fit((inner, outer), None, meta=None):
        return "by name"
    if _fit((inner, outer), None):
        return "no"
    if _fit((inner, outer), None, None):
        return "by position"
    if _fit((outer,), None):
        return "no"
    raise SettingsError(f"handler {handler!r} has to take an order, and may take a second argument, meta")


def failing_for(products: tuple[str, ...], group_by: str, handler: Handler) -> Handler:
    """Return ``handler`` behind a simulated temporary error for some products (KAFKA_ORDERS_FAIL)."""
    if not products:
        return handler

    def simulated(order: dict[str, Any]) -> Any:
        if field_of(order, group_by) in products:
            fail_temporarily()
        return handler(order)

    return simulated


def fail_temporarily() -> NoReturn:
    """Fail as KAFKA_ORDERS_FAIL and the page's sliders have orders fail: at one place, so it is one group."""
    raise RuntimeError("Simulated temporary error")


def accept(order: dict[str, Any]) -> None:
    """Accept every valid order: the handler where none is given, so validation alone decides."""


class Results:
    """What handlers return: awaited where it has to be, encoded where there is an output topic."""

    def __init__(self, encode: Encode | None = None, headers: Headers | None = None) -> None:
        """``encode`` is given where there is an output topic; ``headers`` tell of its results' format."""
        self._encode = encode
        #: What every result's record says.
        self.headers = headers or []
        self._runner = asyncio.Runner()
        #: Most bytes of a result.
        self.most_bytes = sys.maxsize

    def take(self, returned: Any) -> bytes | None:
        """Return what goes to the output topic; None for nothing.

        Raises:
            PermanentError: it has not run, or cannot be a record.
            BaseException: whatever an async handler raises.
        """
        if self._encode is None and type(returned) in _PLAIN:
            return None
        if inspect.isawaitable(returned):
            returned = self._awaited(returned)
        if isinstance(returned, _NOT_RUN) or inspect.isawaitable(returned):
            raise PermanentError(f"the handler returned {returned!r:.80}, which may not have run")
        if self._encode is None or returned is None:
            return None
        if isinstance(returned, Mapping):
            returned = self._encode(dict(returned))
        if not isinstance(returned, bytes):
            raise PermanentError(f"the handler returned {returned!r:.80}: neither a dict nor bytes nor None")
        if len(returned) > self.most_bytes:
            raise PermanentError(
                f"the handler's result has {len(returned)} bytes, the output topic takes {self.most_bytes}"
            )
        return returned

    def _awaited(self, returned: Awaitable[Any]) -> Any:
        try:
            return self._runner.run(_run(returned))
        except Exception:
            raise
        except BaseException:
            # sys.exit() in one of its tasks stops the loop, with the others inside: they must not go on beside
            # the next order.
            self._runner.close()
            self._runner = asyncio.Runner()
            raise

    def close(self) -> None:
        """End the event loop, and what handlers left running in it."""
        self._runner.close()


async def _run(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _called(handler: Handler) -> Any:
    inner: Any = handler
    while isinstance(inner, functools.partial):
        inner = inner.func
    return inner if inspect.isroutine(inner) else type(inner).__call__


def _fit(signatures: Iterable[inspect.Signature], *arguments: Any, **named: Any) -> bool:
    try:
        for one in signatures:
            one.bind(*arguments, **named)
    except TypeError:
        return False
    return True


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
