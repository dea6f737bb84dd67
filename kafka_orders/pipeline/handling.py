"""Decode, validate, handle: step 2. A handler returns or raises; what that means is decided here."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from time import perf_counter
from typing import Any

from kafka_orders.domain import headers
from kafka_orders.domain.errors import InvalidOrderError, OutageError
from kafka_orders.domain.fingerprint import Stage
from kafka_orders.domain.order import Read
from kafka_orders.formats.codec import ReadTold
from kafka_orders.log.message import Message, headers_of, offset_of, origin_of, slot_of
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import SAMPLE, Batch, Counted, SlotBatch
from kafka_orders.pipeline.desk import Desk
from kafka_orders.pipeline.handlers import Results


class Handling:
    """Turns records into outcomes inside a batch; knows neither commits nor topics."""

    def __init__(
        self,
        read: Read,
        handler: Callable[[Any], Any],
        desk: Desk,
        results: Results,
        *,
        told: ReadTold | None = None,
    ) -> None:
        """``told`` reads records that have headers, in place of ``read``, where these may tell the format."""
        self._read, self._handler, self._desk, self._results = read, handler, desk, results
        self._told: ReadTold = told or (lambda payload, _headers: read(payload))

    def handle(self, messages: list[Message], batch: Batch, alarm: Alarm) -> int:
        """Handle records into ``batch`` until ``alarm`` rings, one at least; return how many.

        The hot path of the pipeline: good records touch neither headers nor keys, offsets are read
        once per run of one partition, values are only collected and summed once per batch.
        """
        done, began = 0, perf_counter()
        self._desk.open()
        for _, run in groupby(messages, Message.partition):
            records = list(run)
            slot = slot_of(records[0])
            part = batch.part(slot, offset_of(records[0]))
            if part.came_ms < 0:
                self._date(part, records[0])
            handled = self._run(records, part, batch, alarm)
            if batch.away:
                break
            last = offset_of(records[handled - 1])
            part.next_offset, batch.latest = last + 1, (slot, last)
            if self._desk.source_is_retry:
                self._resolve(records[:handled], part)
            done += handled
            if alarm.rung:
                break
        self._desk.message = None
        batch.size += done
        batch.busy_seconds += perf_counter() - began
        return done

    def _date(self, part: SlotBatch, first: Message) -> None:
        part.came_ms = part.written_ms = first.timestamp()[1]
        if self._desk.source_is_retry:
            part.written_ms = origin_of(first).timestamp_ms

    def _resolve(self, records: list[Message], part: SlotBatch) -> None:
        """Note which of the records are replays of dead letters that came to a good end."""
        failed = {id(one.message) for one in part.routed[-len(records) :]}
        replays = (headers.replay_of(headers_of(one)) for one in records if id(one) not in failed)
        part.resolved += filter(None, replays)

    # In one piece: a call per record costs as much as all these branches.
    def _run(self, records: list[Message], part: SlotBatch, batch: Batch, alarm: Alarm) -> int:  # noqa: C901, PLR0912
        desk, values, routed, sample = self._desk, part.values, part.routed, batch.sample
        read, told, handler, results = self._read, self._told, self._handler, self._results
        room = SAMPLE - len(sample)
        for message in records:
            if (payload := message.value()) is None:
                part.skipped += 1  # a tombstone
                continue
            desk.message = message  # before it is read: what an app's own decoder sends is this record too
            order = None
            try:
                if (held := message.headers()) is None:
                    order, product, value = read(payload)
                else:
                    order, product, value = told(payload, held)  # type: ignore[arg-type]  # a list, as consumed
                result = handler(order)
                if result is not None:
                    result = results.take(result)
            except BaseException as error:  # a handler may raise anything, sys.exit() included; none is ours
                stage = "process" if order is not None else _stage(error)
                if stage is None:
                    batch.away = str(error)  # not the fault of this record, nor of those before it: none is routed
                    return 0
                routed.append(desk.failed(message, error, stage))
            else:
                if desk.routed is not None:
                    routed.append(desk.take())
                else:
                    values[product].append(value)
                    if room > 0:
                        room -= 1
                        sample.append(Counted(order, product, value))
                    if result is not None:
                        part.results.append((message.key(), result, results.headers))
            if alarm.rung:
                return records.index(message) + 1
        return len(records)


def _stage(error: BaseException) -> Stage | None:
    """Return where a record failed that was not read; None where that is not its own fault."""
    if isinstance(error, OutageError):
        return None
    return "validate" if isinstance(error, InvalidOrderError) else "decode"
