"""An SDK of OpenTelemetry that keeps its spans in memory, for one test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext


@dataclass
class Spans:
    """What was made while the SDK was set up."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    provider: TracerProvider = field(default_factory=TracerProvider)

    def __post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def named(self, beginning: str) -> list[ReadableSpan]:
        """Return the finished spans whose names begin like this."""
        return [one for one in self.exporter.get_finished_spans() if one.name.startswith(beginning)]

    def set_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be the process's SDK; it could be set only once in another way."""
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", self.provider)


def context_of(span: ReadableSpan) -> SpanContext:
    """Return the context of a span."""
    assert span.context is not None
    return span.context


def told_of(span: ReadableSpan) -> bytes:
    """Return the ``traceparent`` of a span."""
    context = context_of(span)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()


def linked(span: ReadableSpan) -> Sequence[bytes]:
    """Return the contexts that a span links to, without flags."""
    return [f"00-{one.context.trace_id:032x}-{one.context.span_id:016x}".encode() for one in span.links]
