"""Decode, validate, handle: step 2. A handler returns or raises; what that means is decided here."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from kafka_orders.domain.fingerprint import Stage
from kafka_orders.domain.order import Contract
from kafka_orders.log.message import Message, offset_of, slot_of
from kafka_orders.pipeline.batch import SAMPLE, Batch, Counted, SlotBatch
from kafka_orders.pipeline.desk import Desk
from kafka_orders.pipeline.handlers import Results

Decode = Callable[[bytes], dict[str, Any]]


class Handling:
    """Turns records into outcomes inside a batch; knows neither commits nor topics."""

    def __init__(
        self, decode: Decode, contract: Contract, handler: Callable[[Any], Any], desk: Desk, results: Results
    ) -> None:
        self._decode, self._validate, self._handler = decode, contract.validator(), handler
        self._desk, self._results = desk, results

    def handle(self, messages: list[Message], batch: Batch, deadline: float) -> int:
        """Handle records into ``batch`` until ``deadline`` (monotonic seconds); return how many.

        The hot path of the pipeline: good records touch neither headers nor keys, offsets are read
        once per run of one partition, values are only collected and summed once per batch.
        """
        done = 0
        self._desk.open()
        for _, run in groupby(messages, Message.partition):
            records = list(run)
            slot = slot_of(records[0])
            part = batch.part(slot, offset_of(records[0]))
            handled = self._run(records, part, batch.sample, deadline)
            last = offset_of(records[handled - 1])
            part.next_offset, batch.latest = last + 1, (slot, last)
            done += handled
            if time.monotonic() >= deadline:
                break
        self._desk.message = None
        batch.size += done
        return done

    def _run(self, records: list[Message], part: SlotBatch, sample: list[Counted], deadline: float) -> int:
        clock, desk, values = time.monotonic, self._desk, part.values
        decode, validate, handler, finish = self._decode, self._validate, self._handler, self._results.take
        done, room = 0, SAMPLE - len(sample)
        for message in records:
            done += 1
            payload = message.value()
            stage: Stage = "decode"
            if payload is None:
                part.skipped += 1  # a tombstone
                continue
            desk.message = message  # before the decode: what an app's own decoder sends is this record too
            try:
                order = decode(payload)
                stage = "validate"
                product, value = validate(order)
                stage = "process"
                result = handler(order)
                if result is not None:
                    result = finish(result)
            except BaseException as error:  # a handler may raise anything, sys.exit() included; none is ours
                part.routed.append(desk.failed(message, error, stage))
            else:
                if desk.routed is None:
                    values[product].append(value)
                    if room > 0:
                        room -= 1
                        sample.append(Counted(order, product, value))
                    if result is not None:
                        part.results.append((message.key(), result))
                else:
                    part.routed.append(desk.take())
            if clock() >= deadline:
                break
        return done
