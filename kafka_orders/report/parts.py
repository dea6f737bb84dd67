"""What a report is made of: one part for each thing that is followed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kafka_orders.deadletters.book import Book
from kafka_orders.domain.settings import Settings
from kafka_orders.report.dead import Dead
from kafka_orders.report.latency import Latencies
from kafka_orders.report.surroundings import Surroundings
from kafka_orders.report.waiting import Waiting
from kafka_orders.views.snapshot import Snapshot


@dataclass(slots=True)
class Parts:
    """State, statuses, dead letters, retries and surroundings of one pipeline, as far as they were read."""

    settings: Settings
    around: Surroundings
    state: Snapshot
    book: Book
    dead: Dead
    waiting: Waiting = field(default_factory=Waiting)
    latencies: Latencies = field(default_factory=Latencies)
    #: Replays that have come to an end, by its status.
    ended: Counter[str] = field(default_factory=Counter)
