"""Everything about one dead letter: its payload, its way here, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_orders.deadletters.later import newer
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.payloads import Payload, describe
from kafka_orders.deadletters.queue import Queue
from kafka_orders.domain import headers
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.standing import JobRecord
from kafka_orders.log.message import Message, append_time_ms, headers_of, offset_of, origin_of, slot_of

#: Records of the retry topic that are looked through for earlier attempts.
_MOST_RECORDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Stop:
    """A place that an order came through; ``attempt`` is the retry it waited for there, 0 a replay's first try."""

    where: str
    at_ms: int
    attempt: int | None = None
    replay: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Journey:
    """A dead letter, its payload, the places it came through, its job, and newer orders with its key."""

    letter: Letter
    payload: Payload
    stops: list[Stop]
    job: JobRecord | None
    newer: int


def journey(queue: Queue, letter: Letter) -> Journey:
    """Return all that the topics tell of a dead letter; what retention removed is left out."""
    origin = letter.told.origin
    stops = [] if origin is None else _origin(queue, origin) + _attempts(queue, origin)
    stops.append(Stop(str(letter.id), letter.timestamp_ms, None, letter.told.replay_count, letter.told.message))
    stops.sort(key=lambda one: one.at_ms)
    job = queue.book.jobs.get(letter.standing.job)
    payload = describe(letter.payload, queue.own or queue.decode, letter.headers)
    return Journey(letter, payload, stops, job, newer(queue, [letter]).get(letter.id, 0))


def _origin(queue: Queue, origin: Origin) -> list[Stop]:
    slot = Slot(origin.topic, origin.partition)
    if slot.partition >= queue.admin.partition_counts([slot.topic]).get(slot.topic, 0):
        return []
    held = queue.admin.bounds([slot])[slot]
    wanted = Bounds(max(held.start, origin.offset), min(held.end, origin.offset + 1))
    return [Stop(str(origin), one.timestamp()[1]) for one in queue.reader.read({slot: wanted})]


def _attempts(queue: Queue, origin: Origin) -> list[Stop]:
    topic = queue.settings.retry_topic
    if not queue.admin.partition_counts([topic]).get(topic):
        return []
    bounds = queue.admin.bounds(queue.admin.slots(topic))
    recent = {slot: Bounds(max(one.start, one.end - _MOST_RECORDS), one.end) for slot, one in bounds.items()}
    return [_attempt(one) for one in queue.reader.read(recent) if origin_of(one)[:3] == origin[:3]]


def _attempt(message: Message) -> Stop:
    held = headers_of(message)
    return Stop(
        f"{slot_of(message)}/{offset_of(message)}", append_time_ms(message) or message.timestamp()[1],
        headers.retry_count(held), headers.replay_count(held), headers.text(held, headers.ERROR) or "",
    )  # fmt: skip
