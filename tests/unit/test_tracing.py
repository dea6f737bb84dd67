"""Spans of the roles: one per record where an SDK is set up, nothing at all elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.semconv._incubating.attributes import messaging_attributes as semconv
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

from kafka_orders.app import App
from kafka_orders.deadletters.dialects import ALL
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.replay import sent_headers
from kafka_orders.domain import headers
from kafka_orders.domain.errors import PermanentError
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.order import Contract
from kafka_orders.domain.policy import Dead, RetryPolicy
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import NOTHING_DONE
from kafka_orders.log.producer import Copy, PlainProducer, Report
from kafka_orders.pipeline import conventions, tracing
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.desk import Desk
from kafka_orders.pipeline.handlers import Results
from kafka_orders.pipeline.handling import Handling
from kafka_orders.pipeline.routing import Router
from kafka_orders.pipeline.spans import TracedHandling, traced_send
from tests.support.spans import Spans, context_of, linked, told_of
from tests.unit.values import FORMAT, message, order

ROOT = Path(__file__).resolve().parents[2]
TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
OTHER = b"00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-01"
FOREVER, OVER = Alarm(), Alarm()
OVER.set(0.0)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    made = Spans()
    made.set_up(monkeypatch)
    return made


@pytest.fixture
def results() -> Iterator[Results]:
    made = Results(FORMAT.encode)
    yield made
    made.close()


def handled(
    handler: Callable[[Any], Any], *messages: Any, results: Results | None = None, is_retry: bool = False
) -> Batch:
    """Handle records as a role that starts now would."""
    desk, batch = Desk(RetryPolicy(), source_is_retry=is_retry, wall_clock=lambda: 5.0), Batch()
    made = tracing.handling("a-group")(Contract().reader(FORMAT.decode), handler, desk, results or Results())
    assert made.handle(list(messages), batch, FOREVER) == len(messages)
    return batch


def accept(_order: Any) -> None: ...


def refuse(order: Any) -> None:
    raise PermanentError(f"secret {order}")


def plain_producer() -> PlainProducer:
    return object.__new__(PlainProducer)  # not connected


PROGRAM = """
import sys
if sys.argv[1:]:
    sys.modules["opentelemetry"] = None
import kafka_orders, kafka_orders.programs
from kafka_orders.pipeline import tracing
from kafka_orders.pipeline.handling import Handling
assert tracing.handling("g") is Handling
assert [name for name, module in sys.modules.items() if name.startswith("opentelemetry") and module] == []
"""


@pytest.mark.parametrize("is_missing", [True, False])
def test_without_the_api_nothing_is_imported(is_missing: bool) -> None:
    """Whether it is installed or not."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(["missing"] if is_missing else [])],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["proxy", "no-op", "disabled"])
def test_without_an_sdk_nothing_stands_in_between(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The plain class, and the producer's own method."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    provider = {"proxy": lambda: None, "no-op": NoOpTracerProvider, "disabled": TracerProvider}[kind]()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    producer = plain_producer()
    assert tracing.sending(producer) == producer.put
    assert tracing.handling("g") is Handling
    handling, _, results = App(accept).job(Settings()).handling(Settings(), "main", tracing.handling("g"))
    results.close()
    assert type(handling) is Handling


def test_a_span_tells_where_a_record_is_and_links_to_its_sender(spans: Spans) -> None:
    """One for each, a tombstone included; in a trace of its own even where the program has a span around all."""
    sent = [("traceparent", TRACE), ("tracestate", b"vendor=1")]
    with spans.provider.get_tracer("app").start_as_current_span("all"):
        handled(accept, message(order(1), offset=7, headers=sent), message(None, partition=2, offset=9))
    first, second = spans.named("process orders")
    assert (first.kind, first.parent, first.status.status_code) == (SpanKind.CONSUMER, None, StatusCode.UNSET)
    assert dict(first.attributes or {}) == {
        "messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.destination.name": "orders", "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 7, "messaging.consumer.group.name": "a-group", "kafka_orders.attempt": 0,
    }  # fmt: skip
    assert (linked(first), linked(second)) == ([TRACE[:-3]], [])
    assert first.links[0].context.trace_state.get("vendor") == "1"
    assert first.links[0].context.is_remote
    assert context_of(first).trace_id != context_of(second).trace_id
    assert (second.attributes or {})["messaging.kafka.offset"] == 9


def test_a_failure_is_told_by_its_class_alone(spans: Spans) -> None:
    """Neither the order, nor its key, nor what the error says, in any place of a span."""
    held = [("retryCount", b"2"), ("traceparent", TRACE)]
    batch = handled(refuse, message(order(1, "Hidden"), topic="retry", headers=held, key=b"hush"), is_retry=True)
    handled(accept, message(b"hush"))
    assert [one.decision for one in batch.routed()] == [Dead(2)]
    failed, unread = spans.named("process")
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
    assert (failed.attributes or {})["error.type"] == "kafka_orders.domain.errors.PermanentError"
    assert (failed.attributes or {})["kafka_orders.attempt"] == 2
    assert unread.status.status_code is StatusCode.ERROR
    for span in (failed, unread):
        assert not span.events
        assert not re.search("secret|Hidden|hush|id-1", span.to_json())


def test_a_good_record_after_a_failed_one_is_good(spans: Spans) -> None:
    """Each outcome is its own span's."""
    handled(
        lambda one: refuse(one) if one["product"] == "Bad" else None,
        message(order(1, "A"), offset=0), message(order(2, "Bad"), offset=1), message(order(3, "A"), offset=2),
    )  # fmt: skip
    assert [one.status.is_ok for one in spans.named("process")] == [True, False, True]


def test_what_a_handler_does_is_inside(spans: Spans, results: Results) -> None:
    """Plain or async, of every record: an event loop would keep the context of the first."""
    tracer = spans.provider.get_tracer("shop")

    def plain(one: dict[str, Any]) -> None:
        tracer.start_span("call", attributes={"id": one["orderId"]}).end()

    async def later(one: dict[str, Any]) -> dict[str, Any]:
        plain(one)
        return one

    for handler in (plain, later):
        spans.exporter.clear()
        handled(handler, *(message(order(number), offset=number) for number in range(3)), results=results)
        around = {context_of(one).span_id: (one.attributes or {})["messaging.kafka.offset"]
                  for one in spans.named("process")}  # fmt: skip
        calls = spans.named("call")
        assert [(one.attributes or {})["id"] for one in calls] == ["id-0", "id-1", "id-2"]
        assert [around[one.parent.span_id] for one in calls if one.parent] == [0, 1, 2]
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_is_raised_ends_the_span(spans: Spans, error: BaseException) -> None:
    """As an outcome."""

    async def handler(_order: Any) -> None:
        raise error

    assert [one.decision for one in handled(handler, message(order())).routed()] == [Dead(0)]
    (span,) = spans.named("process")
    assert (span.attributes or {})["error.type"] == f"builtins.{type(error).__name__}"


def test_results_tell_of_their_span(spans: Spans, results: Results) -> None:
    """In the output topic's headers; without an SDK they have none."""
    batch = handled(lambda one: one, message(order(1)), message(order(2), offset=1), results=results)
    told = [("traceparent", told_of(one)) for one in spans.named("process")]
    assert list(batch.results()) == [(b"key", order(1), told[:1]), (b"key", order(2), told[1:])]
    router = Router("g", RetryPolicy(), "r", "d", "a", 1, 1, "out")
    changes: Any = type("Changes", (), {"progress": {}})
    assert [one.headers for one in router.records(batch, changes)] == [told[:1], told[1:]]


def test_a_slow_batch_stops_where_it_is(spans: Spans) -> None:
    """At the record during which the alarm rang."""
    desk, batch = Desk(RetryPolicy(), source_is_retry=False), Batch()
    made = tracing.handling("g")(Contract().reader(FORMAT.decode), accept, desk, Results())
    assert isinstance(made, TracedHandling)
    assert made.handle([message(order(), offset=number) for number in range(5)], batch, OVER) == 1
    assert (batch.offsets(), len(spans.named("process"))) == ([("orders", 0, 1)], 1)


payloads = st.sampled_from(
    [None, b"", order(1, "A", 1.0), order(2, "Bad"), order(3, "B", 2.5), order(4, "A", -1.0)]
)
told = st.none() | st.sampled_from([TRACE, OTHER, TRACE.upper(), b"\xff", b""]) | st.binary(max_size=80)
held = st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "retryCount"]), told), max_size=5)


@given(st.lists(st.tuples(payloads, held, st.integers(0, 1)), max_size=12))
def test_a_traced_record_has_the_same_outcome(records: list[Any]) -> None:
    """Whatever its headers are; and it links to the first sound context, or to none."""
    spans = Spans()
    messages = [
        message(value, offset=offset, partition=partition, topic="retry", headers=held)
        for offset, (value, held, partition) in enumerate(records)
    ]

    def handler(one: dict[str, Any]) -> None:
        if one["product"] == "Bad":
            raise RuntimeError

    both = []
    tracer = spans.provider.get_tracer("test")
    for made, more in ((Handling, {}), (TracedHandling, {"tracer": tracer, "group": "g"})):
        batch, desk = Batch(), Desk(RetryPolicy(), source_is_retry=True, wall_clock=lambda: 5.0)
        assert made(Contract().reader(FORMAT.decode), handler, desk, Results(), **more).handle(
            messages, batch, FOREVER
        ) == len(messages)
        batch.busy_seconds = 0.0
        both.append(batch)
    assert both[0].slots == both[1].slots
    assert (both[0].size, both[0].sample) == (both[1].size, both[1].sample)
    for span, one in zip(spans.named("process"), messages, strict=True):
        sound = [
            value
            for name, value in one.headers() or []
            if name == "traceparent" and headers.trace_of([(name, value)])
        ]  # type: ignore[list-item]
        assert linked(span) == [value[:55][:-3] for value in sound[:1]]


class Sent:
    """A producer that only notes what it is given."""

    def __init__(self) -> None:
        self.copies: list[Copy] = []
        self.reports: list[Callable[[Report], None]] = []

    def put(self, _topic: str, copy: Copy, told: Callable[[Report], None]) -> None:
        self.copies.append(copy)
        self.reports.append(told)


def test_a_sent_order_tells_of_its_span_which_ends_with_the_report(spans: Spans) -> None:
    """With its place, or with why it was not taken."""
    producer, heard = Sent(), []
    send = traced_send(producer, spans.provider.get_tracer("test"))  # type: ignore[arg-type]
    send("or/ders", Copy(b"hush-key", b"hush"), heard.append)
    send("or/ders", Copy(b"hush-key", b"hush"), heard.append)
    assert spans.named("send") == []
    reports = [Report("or/ders/3/12", None), Report("or/ders/-1", "Local: Message timed out")]
    for told, report in zip(producer.reports, reports, strict=True):
        told(report)
    assert heard == reports
    taken, lost = spans.named("send or/ders")
    assert [copy.headers for copy in producer.copies] == [[("traceparent", told_of(one))] for one in (taken, lost)]
    assert (producer.copies[0].key, producer.copies[0].value) == (b"hush-key", b"hush")
    assert taken.kind is SpanKind.PRODUCER
    assert dict(taken.attributes or {}) == {
        "messaging.system": "kafka", "messaging.operation.name": "send", "messaging.operation.type": "send",
        "messaging.destination.name": "or/ders", "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 12,
    }  # fmt: skip
    assert (lost.status.status_code, (lost.attributes or {})["error.type"]) == (
        StatusCode.ERROR,
        "Local: Message timed out",
    )
    assert "hush" not in taken.to_json() + lost.to_json()


def test_a_replay_of_a_strangers_letter_carries_one_context() -> None:
    """The first sound one, and the first state; ours were cleaned on their way to the dead letters."""
    held = [("traceparent", b"?"), ("traceparent", OTHER), ("tracestate", b"a=1"), ("traceparent", TRACE),
            ("tracestate", b"b=2")]  # fmt: skip
    letter = Letter(message(order(), topic="theirs", headers=held), NOTHING_DONE, ALL)
    sent = sent_headers(letter, Origin("orders", 0, 1), "a-job")
    assert [one for one in sent if one[0].startswith("trace")] == [("traceparent", OTHER), ("tracestate", b"a=1")]


def test_names_are_those_of_the_conventions() -> None:
    """As the package of this machine spells them."""
    assert (
        vars(conventions).items()
        >= {
            "SYSTEM": semconv.MESSAGING_SYSTEM,
            "OPERATION_NAME": semconv.MESSAGING_OPERATION_NAME,
            "OPERATION_TYPE": semconv.MESSAGING_OPERATION_TYPE,
            "DESTINATION": semconv.MESSAGING_DESTINATION_NAME,
            "PARTITION": semconv.MESSAGING_DESTINATION_PARTITION_ID,
            "OFFSET": semconv.MESSAGING_KAFKA_OFFSET,
            "GROUP": semconv.MESSAGING_CONSUMER_GROUP_NAME,
            "ERROR_TYPE": error_attributes.ERROR_TYPE,
            "KAFKA": semconv.MessagingSystemValues.KAFKA.value,
            "SEND": semconv.MessagingOperationTypeValues.SEND.value,
            "PROCESS": semconv.MessagingOperationTypeValues.PROCESS.value,
        }.items()
    )
