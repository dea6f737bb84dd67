"""Live controls for presenting: order rate, failures, slowness, read from a small file that `up` writes.

A role looks at it four times a second at most, so turning a knob needs no restart; without the setting ``knobs``
none of this is there.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kafka_orders.domain.order import field_text
from kafka_orders.pipeline.handlers import fail_temporarily

_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Setting:
    """How the knobs stand: orders per second (None: as set), the share of each product that fails, slowness."""

    rate: float | None = None
    fails: Mapping[str, float] = field(default_factory=dict)
    slow_ms: int = 0

    def write(self, path: Path) -> None:
        """Put it where a role looks, whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        part.replace(path)


class Knobs:
    """The knobs of one role."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = Path(path), clock
        self._looked_at, self._held = float("-inf"), Setting()

    def now(self) -> Setting:
        """Return how they stand; a file that is not there or not whole changes nothing."""
        moment = self._clock()
        if moment - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = moment
            try:
                told = json.loads(self._path.read_text(encoding="utf-8"))
                self._held = Setting(told["rate"], dict(told["fails"]), int(told["slow_ms"]))
            except (OSError, ValueError, KeyError, TypeError):
                return self._held
        return self._held

    def before(self, group_by: str, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a handler that fails and dawdles as the knobs say, and is the handler otherwise."""

        def played(order: Any) -> Any:
            held = self.now()
            if held.slow_ms:
                time.sleep(held.slow_ms / 1000)
            share = held.fails.get(field_text(order, group_by) or "", 0.0) if held.fails else 0.0
            if share and random.random() < share:  # noqa: S311  no secret
                fail_temporarily()
            return handler(order)

        return played
