"""What the producer prints: orders and delivery reports, or one summary line a second at high rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from kafka_orders.log.producer import Report
from kafka_orders.views.console import LINES_PER_SECOND


class ProducerConsole:
    """Told of every delivery report; prints at most about 20 lines a second."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._window, self._lines, self._more = clock(), 0, 0

    def __call__(self, order: Mapping[str, Any], report: Report) -> None:
        """Print one order and what the broker said of it; failures are always printed."""
        now = self._clock()
        if now - self._window >= 1.0:
            if self._more:
                self._write(f"... and {self._more} more delivered ({self._more / (now - self._window):,.0f}/s)")
            self._window, self._lines, self._more = now, 0, 0
        told = f"{order['orderId']}  {order['product']}  {order['price']:.2f}"
        if report.error is not None:
            self._write(f"{told}  NOT delivered to {report.place}: {report.error}")
        elif self._lines < LINES_PER_SECOND:
            self._lines += 1
            self._write(f"{told}  delivered to {report.place}")
        else:
            self._more += 1
