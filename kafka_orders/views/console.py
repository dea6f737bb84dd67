"""What main and retry print: each order with its averages, or one summary line a second under load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from kafka_orders.deadletters.watch import printable
from kafka_orders.domain.averages import Tally
from kafka_orders.domain.order import DEFAULT_ID
from kafka_orders.pipeline.batch import Batch, Routed
from kafka_orders.pipeline.state import State

#: Lines a second that a reader can follow.
LINES_PER_SECOND = 20


class Console:
    """An observer of committed batches that prints them; what it prints is committed already."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        id_field: str | None = DEFAULT_ID,
    ) -> None:
        self._write, self._clock, self._id_field = write, clock, id_field
        self._window = clock()
        self._lines = 0
        self._silent = self._failed = 0

    def __call__(self, batch: Batch, state: State) -> None:
        """Print a batch."""
        now = self._clock()
        routed = batch.routed()
        if now - self._window >= 1.0:
            self._summary(state, now - self._window)
            self._window, self._lines = now, 0
        if batch.size and (self._silent or self._lines + batch.size > LINES_PER_SECOND):
            self._silent += batch.size
            self._failed += len(routed)
            return
        self._lines += batch.size
        for counted in batch.sample:
            self._write(
                f"{name_of(counted.order, self._id_field)}  {counted.product}  {counted.value:.2f}"
                f"   average of {counted.product} {_average(state.product(counted.product))}"
                f"   overall {_average(state.overall())}"
            )
        for one in routed:
            self._write(failure_line(one))

    def _summary(self, state: State, seconds: float) -> None:
        if self._silent:
            self._write(
                f"{self._silent} orders in {seconds:.1f} s ({self._silent / seconds:,.0f}/s),"
                f" {self._failed} failed   overall average {_average(state.overall())}"
            )
        self._silent = self._failed = 0


def failure_line(routed: Routed) -> str:
    """Return one line for a failure: which record, where it goes, why."""
    key = printable(routed.message.key()) or str(routed.origin)
    return f"{key}  failed -> {routed.decision}: {printable(routed.failure.message)}"


def name_of(order: object, id_field: str | None = DEFAULT_ID) -> str:
    """Return how an order is called in a line: by its id, where it has one."""
    return printable(str(order.get(id_field, "order"))) if isinstance(order, Mapping) else "order"


def _average(tally: Tally) -> str:
    return f"{tally.average:.2f} of {tally.count}"
