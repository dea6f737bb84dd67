"""The benchmark on a real broker: what contenders say is checked against the topics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from benchmarks import latency, topics
from benchmarks.contenders import BY_NAME, OURS, RAW
from benchmarks.runner import Bed, WrongOutcomeError
from benchmarks.topics import Expected
from tests.support.registry import Registry

pytestmark = pytest.mark.broker
ORDERS, PARTITIONS = 4000, 3


@pytest.fixture(scope="module")
def bed(bootstrap: str) -> Iterator[Bed]:
    name = f"bench-{uuid4().hex[:6]}"
    expected = topics.fill(bootstrap, f"{name}-orders", ORDERS, PARTITIONS)
    yield Bed(bootstrap, PARTITIONS, name, {"avro": (f"{name}-orders", expected)}, timeout=60)
    topics.delete(bootstrap, [f"{name}-orders"])


@pytest.mark.parametrize("name", [RAW, OURS])
def test_a_contender_is_measured_and_verified(bed: Bed, name: str) -> None:
    """Each in a process of its own; orders, sums, failures and offsets agree with the topics."""
    outcome = bed.run(BY_NAME[name])
    assert outcome["orders"] == ORDERS
    assert 0 < outcome["thread_cpu"] <= outcome["process_cpu"]
    assert outcome["seconds"] > 0
    assert "confluent-kafka" in outcome["versions"]


def test_framed_orders_are_measured_by_a_real_registry(bootstrap: str, registry: Registry) -> None:
    """Protobuf's frame is the one that has more than an id."""
    name = f"bench-{uuid4().hex[:6]}"
    contender, topic = BY_NAME["ours-protobuf-framed"], f"{name}-protobuf-framed"
    expected = topics.fill(bootstrap, topic, ORDERS, PARTITIONS, contender.form, registry.url)
    orders = {contender.source: (topic, expected)}
    found = Bed(bootstrap, PARTITIONS, name, orders, registry=registry.url, timeout=60).run(contender)
    assert (found["orders"], found["counted"] + found["failures"]) == (ORDERS, ORDERS)
    topics.delete(bootstrap, [topic])


def test_a_contender_whose_sum_is_wrong_is_an_error(bed: Bed) -> None:
    """It counted every order, and one of them was another price."""
    topic, expected = bed.orders["avro"]
    wrong = Expected([expected.prices[0] + 0.01, *expected.prices[1:]], expected.products)
    with pytest.raises(WrongOutcomeError, match="sum of prices"):
        replace_orders(bed, topic, wrong).run(BY_NAME[OURS])


def test_records_that_never_reached_their_topic_are_missed(bed: Bed) -> None:
    """A contender that tells the right number of failures, and sent none of them."""
    silent = replace(BY_NAME["ours-no-commit"], checked=frozenset({"state", "failures", "offsets"}))
    with pytest.raises(WrongOutcomeError, match=r"failures topic: 0, expected \d+; committed offsets: 0"):
        bed.run(silent)


def test_latency_is_measured_for_every_order(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the producer's send to the commit, in processes of their own; the first second does not count."""
    monkeypatch.setattr(latency, "WARM_UP_SECONDS", 1)
    found = latency.at_rate(bootstrap, 200, 1.0)
    assert (found["rate"], found["orders"]) == (200, 200)
    assert 0 < found["p50"] <= found["p95"] <= found["p99"] <= found["max"]


def replace_orders(bed: Bed, topic: str, expected: Expected) -> Bed:
    return Bed(bed.bootstrap, bed.partitions, f"{bed.name}-wrong", {"avro": (topic, expected)}, timeout=60)
