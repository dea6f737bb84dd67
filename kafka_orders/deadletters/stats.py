"""The dead letter queue in figures, and which of it will be gone soon."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kafka_orders.deadletters.jobs import TOOLS
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection, order_of
from kafka_orders.domain.order import field_text
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.standing import OPEN, JobRecord, LetterId
from kafka_orders.log.topics import configs

#: An open dead letter that retention removes within this time needs somebody: 72 hours.
SOON_MS = 72 * 3_600_000


@dataclass(slots=True)
class Stats:
    """Counts of dead letters. ``oldest_open`` is (epoch ms, id); ``expiring`` open ones are gone within 72 h."""

    total: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    products: Counter[str] = field(default_factory=Counter)
    oldest_open: tuple[int, LetterId] | None = None
    expiring: int = 0
    retention_ms: int = -1
    jobs: list[JobRecord] = field(default_factory=list)


def stats(queue: Queue, wanted: Selection, now_ms: int) -> Stats:
    """Return the figures of what is selected, and the latest ten jobs.

    Raises:
        BrokerError: the topic does not exist, or may not be read.
    """
    found = Stats(retention_ms=retention_ms(queue))
    for letter in queue.letters(wanted):
        _add(found, letter, queue, now_ms)
    worked = [job for job in queue.book.jobs.values() if job.action in TOOLS]
    found.jobs = sorted(worked, key=lambda job: job.id, reverse=True)[:10]
    return found


def _add(found: Stats, letter: Letter, queue: Queue, now_ms: int) -> None:
    told, status = letter.told, letter.standing.status
    found.total += 1
    found.statuses[status] += 1
    found.classes[told.fqcn or "unknown"] += 1
    found.stages[told.stage or "unknown"] += 1
    product = field_text(order_of(letter, queue.decode), queue.settings.group_by)
    found.products["unknown" if product is None else product] += 1
    if status == OPEN:
        at = letter.timestamp_ms
        if found.oldest_open is None or at < found.oldest_open[0]:
            found.oldest_open = at, letter.id
        found.expiring += is_expiring(at, found.retention_ms, now_ms)


def is_expiring(at_ms: int, retention_ms: int, now_ms: int) -> bool:
    """Say whether retention removes a record within 72 hours; without retention it stays."""
    return 0 <= retention_ms < now_ms - at_ms + SOON_MS


def retention_ms(queue: Queue) -> int:
    """Return how long the topic keeps its records; -1: for ever."""
    held = configs(queue.admin, [queue.topic]).get(queue.topic, {})
    return -1 if "delete" not in held.get("cleanup.policy", "delete") else int(held.get("retention.ms", "-1"))


def expiring(queue: Queue, now_ms: int) -> int:
    """Return how many open letters will be gone within 72 hours; only what is that old is read.

    Raises:
        BrokerError: the topic does not exist, or may not be read.
    """
    if (kept := retention_ms(queue)) < 0:
        return 0
    bounds = queue.ends()
    young = queue.admin.offsets_at(bounds, max(0, now_ms - kept + SOON_MS))
    old = {slot: Bounds(one.start, one.end if young[slot] < 0 else young[slot]) for slot, one in bounds.items()}
    return sum(1 for _ in queue.letters(Selection(statuses=(OPEN,)), old))
