"""A worker on a real broker, and a registry that answers anything but the truth (fault F12)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from signal import SIGTERM

import pytest

from kafka_orders.formats.choice import contract_format
from tests.integration.test_registry import ORDER, counts, judged, send, settled, subject
from tests.support.pipeline import Pipeline
from tests.support.stub_registry import CUT, HANG, StubRegistry, stub_registry
from tests.support.waiting import eventually

pytestmark = pytest.mark.broker

AVRO = contract_format("avro")
#: A kind of each; tests/unit/test_stub_registry.py has them all.
FAULTS: tuple[int | str, ...] = (500, CUT, "{}", HANG)


@pytest.fixture
def stub() -> Iterator[StubRegistry]:
    with stub_registry() as made:
        yield made


def unknown(line: Pipeline, stub: StubRegistry) -> bytes:
    """Return an order of a schema that nobody has asked for yet."""
    known = stub.add(AVRO.text + " " * len(stub.held), subject=subject(line))
    return b"\0" + known.to_bytes(4, "big") + AVRO.encode(ORDER)


def test_whatever_a_registry_answers_orders_wait_for_the_truth(line: Pipeline, stub: StubRegistry) -> None:
    """Each is an outage: no order is dead, all are counted once, and a stop is heard while nobody answers."""
    line.extra.update(REGISTRY_URL=stub.url, REGISTRY="timeout=0.5,max.retries=0")
    words = ("-m", "kafka_orders", "consume", "--breaker", "0")
    main = line.start(*words)
    main.says("restored")
    for number, fault in enumerate(FAULTS):
        stub.fault = fault
        heard, said = len(stub.asked), main.text().count("pausing")
        send(line, (unknown(line, stub), []))
        eventually(lambda: len(stub.asked) > heard, 20, "the registry is asked")  # noqa: B023  at once
        eventually(lambda: main.text().count("pausing") > said, 20, f"{fault!r} is an outage")  # noqa: B023
        found = judged(line, deep=False)
        assert (found.counted, found.dead, found.waiting, found.unread) == (number, 0, 0, 1), fault
        if fault != HANG:
            stub.fault = None
            eventually(partial(counts, line, number + 1), 20, f"counted after {fault!r}")
    assert main.stop(number=SIGTERM) == 0
    stub.fault = None
    fresh = line.start(*words)
    after = settled(line, len(FAULTS))
    assert (after.counted, after.dead) == (len(FAULTS), 0)
    assert fresh.stop() == 0
