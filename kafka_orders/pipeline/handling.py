"""Decode, validate, handle: step 2. A handler returns or raises; what that means is decided here."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.fingerprint import Stage
from kafka_orders.domain.order import Contract
from kafka_orders.log.message import Message, offset_of, slot_of
from kafka_orders.pipeline.batch import SAMPLE, Batch, Counted, SlotBatch
from kafka_orders.pipeline.desk import Desk

Handler = Callable[[dict[str, Any]], Any]
Decode = Callable[[bytes], dict[str, Any]]


class Handling:
    """Turns records into outcomes inside a batch; knows neither commits nor topics."""

    def __init__(self, decode: Decode, contract: Contract, handler: Handler, desk: Desk) -> None:
        self._decode, self._validate, self._handler = decode, contract.validator(), handler
        self._desk = desk

    def handle(self, messages: list[Message], batch: Batch, deadline: float) -> int:
        """Handle records into ``batch`` until ``deadline`` (monotonic seconds); return how many.

        The hot path of the pipeline: good records touch neither headers nor keys, offsets are read
        once per run of one partition, values are only collected and summed once per batch.
        """
        done = 0
        for _, run in groupby(messages, Message.partition):
            records = list(run)
            part = batch.part(slot_of(records[0]), offset_of(records[0]))
            handled = self._run(records, part, batch.sample, deadline)
            part.next_offset = offset_of(records[handled - 1]) + 1
            done += handled
            if time.monotonic() >= deadline:
                break
        self._desk.message = None
        batch.size += done
        return done

    def _run(self, records: list[Message], part: SlotBatch, sample: list[Counted], deadline: float) -> int:
        clock, desk, values = time.monotonic, self._desk, part.values
        decode, validate, handler = self._decode, self._validate, self._handler
        done, room = 0, SAMPLE - len(sample)
        for message in records:
            done += 1
            payload = message.value()
            stage: Stage = "decode"
            if payload is None:
                part.skipped += 1  # a tombstone
                continue
            try:
                order = decode(payload)
                stage = "validate"
                product, value = validate(order)
                stage = "process"
                desk.message = message
                handler(order)
            except BaseException as error:  # a handler may raise anything, sys.exit() included; none is ours
                part.routed.append(desk.failed(message, error, stage))
            else:
                if desk.routed is None:
                    values[product].append(value)
                    if room > 0:
                        room -= 1
                        sample.append(Counted(order, product, value))
                else:
                    part.routed.append(desk.take())
            if clock() >= deadline:
                break
        return done


def checked(handler: Handler) -> Handler:
    """Return ``handler``, or refuse what could be counted without having run.

    Raises:
        SettingsError: it is a coroutine function, a generator function or no function at all.
    """
    if not callable(handler):
        raise SettingsError(f"handler {handler!r} cannot be called")
    inner: Any = handler
    while isinstance(inner, functools.partial):
        inner = inner.func
    called = inner if inspect.isroutine(inner) else type(inner).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise SettingsError(f"handler {handler!r} is async: give a plain function (it would never run)")
    if inspect.isgeneratorfunction(called):
        raise SettingsError(f"handler {handler!r} is a generator: give a plain function (it would never run)")
    return handler


def failing_for(products: tuple[str, ...], group_by: str, handler: Handler) -> Handler:
    """Return ``handler`` behind a simulated temporary error for some products (KAFKA_ORDERS_FAIL)."""
    if not products:
        return handler

    def simulated(order: dict[str, Any]) -> Any:
        if order[group_by] in products:
            raise RuntimeError("Simulated temporary error")
        return handler(order)

    return simulated


def accept(order: dict[str, Any]) -> None:
    """Accept every valid order: the handler where none is given, so validation alone decides."""
