"""One trace context from the producer through retry, dead letters and replay, on a real broker."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from kafka_orders.formats.opening import order_codec
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.produce import produce
from kafka_orders.pipeline.stop import Stop
from tests.support.deadletters import accept, statuses, work
from tests.support.pipeline import Pipeline
from tests.support.spans import Spans, linked, told_of
from tests.support.surroundings import send
from tests.support.witness import encode, read_all

pytestmark = pytest.mark.broker

COUNT = 5
TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
OTHER = b"00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    made = Spans()
    made.set_up(monkeypatch)
    return made


def fail(_order: Any) -> None:
    raise RuntimeError("the shop is closed")


def give_back(order: Any) -> Any:
    return order


def begin(line: Pipeline) -> None:
    line.extra |= {"COUNT": str(COUNT), "RATE": "0", "RETRY_DELAY_MS": "100", "MAX_RETRIES": "1"}
    upkeep.create(line.settings(), lambda _: None)


def produced(line: Pipeline) -> None:
    done = produce(line.settings(), order_codec(), lambda *_: None, print, Stop())
    assert done.acknowledged == COUNT


def traces(line: Pipeline, topic: str) -> list[list[bytes | None]]:
    """Return the trace contexts of each record of a topic."""
    found = read_all(line.bootstrap, topic)
    return [[value for name, value in one.headers() or [] if name == "traceparent"] for one in found]  # type: ignore[misc]


def test_all_that_becomes_of_an_order_links_to_its_sender(line: Pipeline, spans: Spans) -> None:
    """Main, retry, a replay of the dead letter: each record tells of its sender once, each span links to it."""
    begin(line)
    settings = line.settings()
    produced(line)
    assert work(line, fail, "main") == COUNT
    assert work(line, fail, "retry") == COUNT
    replayed = line.run("dlq", "replay", "--quiet")
    assert replayed.returncode == 0, replayed.stderr
    assert work(line, accept, "retry") == COUNT
    assert statuses(line) == {"resolved": COUNT}

    sent = [[told_of(one)] for one in spans.named("send ")]
    assert len(sent) == COUNT
    for topic, times in ((settings.topic, 1), (settings.retry_topic, 2), (settings.dlq_topic, 1)):
        assert sorted(traces(line, topic)) == sorted(sent * times), topic
    processed = spans.named("process ")
    links = Counter(linked(one)[0] for one in processed if len(linked(one)) == 1)
    assert links == {one[0][:-3]: 3 for one in sent}
    assert Counter(
        (one.name, one.status.status_code is StatusCode.ERROR, (one.attributes or {})["kafka_orders.attempt"])
        for one in processed
    ) == {
        (f"process {settings.topic}", True, 0): COUNT,
        (f"process {settings.retry_topic}", True, 1): COUNT,
        (f"process {settings.retry_topic}", False, 0): COUNT,
    }
    places = {
        (one.topic(), str(one.partition()), one.offset()) for one in read_all(line.bootstrap, settings.topic)
    }
    assert {
        (settings.topic, (one.attributes or {})["messaging.destination.partition.id"],
         (one.attributes or {})["messaging.kafka.offset"])
        for one in spans.named("send ")
    } == places  # fmt: skip


def test_results_tell_of_the_span_they_come_from(line: Pipeline, spans: Spans) -> None:
    """So that who reads the output topic links to it."""
    line.extra["OUTPUT_TOPIC"] = f"{line.name}-out"
    begin(line)
    produced(line)
    assert work(line, give_back, "main") == COUNT
    assert sorted(traces(line, f"{line.name}-out")) == sorted([told_of(one)] for one in spans.named("process "))


def test_two_contexts_become_one_and_absurd_ones_fail_nothing(line: Pipeline, spans: Spans) -> None:
    """The first sound one goes on; an absurd one stays as it came, and nothing links to it."""
    begin(line)
    settings = line.settings()
    payload = encode({"orderId": "x", "product": "Item1", "price": 1.0})
    came: list[list[tuple[str, bytes | None]]] = [
        [("traceparent", TRACE), ("traceparent", OTHER), ("tracestate", b"a=1"), ("tracestate", b"b=2")],
        [("traceparent", b"\xff"), ("traceparent", OTHER), ("tracestate", b"a=1"), ("tracestate", b"b=2")],
        [("traceparent", b"00-nonsense"), ("traceparent", None)],
        [("traceparent", None)],
        [],
    ]
    records = [{"value": payload, "key": b"x", "headers": one, "partition": 0} for one in came]
    assert send(line.bootstrap, settings.topic, *records) == [""] * COUNT
    assert work(line, fail, "main") == COUNT
    assert work(line, fail, "retry") == COUNT
    assert line.run("dlq", "replay", "--quiet").returncode == 0
    assert work(line, accept, "retry") == COUNT
    for topic, times in ((settings.retry_topic, 2), (settings.dlq_topic, 1)):
        left = [[TRACE], [OTHER], [b"00-nonsense"], [None], []] * times
        assert sorted(map(repr, traces(line, topic))) == sorted(map(repr, left)), topic
        states = [[value for name, value in one.headers() or [] if name == "tracestate"]
                  for one in read_all(line.bootstrap, topic)]  # fmt: skip
        assert Counter(map(tuple, states)) == {(b"a=1",): 2 * times, (): 3 * times}
    links = Counter(tuple(linked(one)) for one in spans.named("process "))
    assert links == {(TRACE[:-3],): 3, (OTHER[:-3],): 3, (): 9}


def test_without_an_sdk_nothing_is_added(line: Pipeline, spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    """No header, no span."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    line.extra["OUTPUT_TOPIC"] = f"{line.name}-out"
    begin(line)
    settings = line.settings()
    produced(line)
    assert work(line, fail, "main") == COUNT
    assert work(line, give_back, "retry") == COUNT
    for topic in (settings.topic, settings.retry_topic, settings.output_topic):
        assert traces(line, topic) == [[]] * COUNT, topic
    assert spans.exporter.get_finished_spans() == ()
