"""Spans of the roles. Imported only where an SDK of OpenTelemetry is set up (``tracing.py``).

A span holds where a record is and what kind of error it failed with: never the order, its key or an error's
message, which may quote the order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kafka_orders.domain.headers import Headers, trace_of
from kafka_orders.domain.order import Read
from kafka_orders.formats.codec import ReadTold
from kafka_orders.log.message import Message, headers_of, offset_of, slot_of
from kafka_orders.log.producer import Copy, PlainProducer, Report, Send
from kafka_orders.pipeline import conventions as names
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch, SlotBatch
from kafka_orders.pipeline.desk import Desk
from kafka_orders.pipeline.handlers import Results
from kafka_orders.pipeline.handling import Handling

_W3C = TraceContextTextMapPropagator()


class TracedHandling(Handling):
    """Handles each record inside a span of its own, which links to whoever sent the order."""

    def __init__(
        self,
        read: Read,
        handler: Callable[[Any], Any],
        desk: Desk,
        results: Results,
        *,
        tracer: Tracer,
        group: str,
        told: ReadTold | None = None,
    ) -> None:
        super().__init__(read, _in_its_span(handler), desk, results, told=told)
        self._tracer, self._group = tracer, group

    def _run(self, records: list[Message], part: SlotBatch, batch: Batch, alarm: Alarm) -> int:
        for done, message in enumerate(records, 1):
            failures, results = len(part.routed), len(part.results)
            with use_span(
                self._span(message), True, record_exception=False, set_status_on_exception=False
            ) as span:
                super()._run([message], part, batch, alarm)
                if len(part.routed) > failures:
                    _fail(span, part.routed[-1].failure.fqcn)
                if len(part.results) > results:
                    part.results[-1] = (*part.results[-1][:2], [*part.results[-1][2], *_told(span)])
            if alarm.rung or batch.away:
                return done
        return len(records)

    def _span(self, message: Message) -> Span:
        """Return the span of a record: in a trace of its own, since a retry may come a day after the order."""
        slot, trace = slot_of(message), trace_of(headers_of(message))
        sender = get_current_span(_W3C.extract(trace, Context())).get_span_context()
        return self._tracer.start_span(
            f"{names.PROCESS} {slot.topic}",
            Context(),
            SpanKind.CONSUMER,
            {
                **_about(names.PROCESS, slot.topic),
                names.PARTITION: str(slot.partition),
                names.OFFSET: offset_of(message),
                names.GROUP: self._group,
                names.ATTEMPT: self._desk.retries(message),
            },
            [Link(sender)] if sender.is_valid else [],
        )


def traced_send(producer: PlainProducer, tracer: Tracer) -> Send:
    """Return :meth:`PlainProducer.put` with a span for each order, which its headers tell.

    It ends when the broker has told of the order.
    """

    def send(topic: str, copy: Copy, told: Callable[[Report], None]) -> None:
        kind, about = SpanKind.PRODUCER, _about(names.SEND, topic)
        span = tracer.start_span(f"{names.SEND} {topic}", kind=kind, attributes=about)

        def reported(report: Report) -> None:
            if report.error is not None:
                _fail(span, report.error)
            else:
                _, partition, offset = report.place.rsplit("/", 2)
                span.set_attributes({names.PARTITION: partition, names.OFFSET: int(offset)})
            span.end()
            told(report)

        producer.put(topic, copy._replace(headers=[*copy.headers, *_told(span)]), reported)

    return send


def _about(operation: str, topic: str) -> dict[str, str]:
    return {
        names.SYSTEM: names.KAFKA,
        names.OPERATION_NAME: operation,
        names.OPERATION_TYPE: operation,
        names.DESTINATION: topic,
    }


def _fail(span: Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute(names.ERROR_TYPE, kind)


def _told(span: Span) -> Headers:
    """Return the headers that tell a record's readers of ``span``."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span, Context()))
    return [(name, value.encode()) for name, value in carrier.items()]


def _in_its_span(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return ``handler`` so that an async one runs in the record's context, too.

    An event loop's runner keeps the context it began with: that of the first record, for all.
    """

    def called(order: Any) -> Any:
        returned = handler(order)
        return _within(get_current(), returned) if isawaitable(returned) else returned

    return called


async def _within(context: Context, awaitable: Awaitable[Any]) -> Any:
    token = attach(context)
    try:
        return await awaitable
    finally:
        detach(token)
