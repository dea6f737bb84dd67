"""What a presenter can do with the processes behind a page; who owns them says how (``stage/show.py``)."""

from __future__ import annotations

from typing import Protocol

from kafka_orders.stage.cues import StageState


class Stage(Protocol):
    """The processes behind a page."""

    def state(self) -> StageState:
        """Return what runs, and how the knobs stand."""

    def do(self, action: str, *told: str | float) -> str:
        """Do something, and return what was done, in a sentence.

        Raises:
            KafkaOrdersError: it cannot be done.
        """
