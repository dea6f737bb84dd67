"""One order's way through the topics, told from the records' own headers and times."""

from __future__ import annotations

from kafka_orders.domain import headers
from kafka_orders.domain.settings import Settings
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message, headers_of, origin_of, slot_of
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.startup import readers


def journey(settings: Settings) -> list[str]:
    """Return the lines of the first dead letter's story; one line when nothing is dead."""
    with readers(settings, 30.0) as (admin, reader):
        dead = _records(admin, reader, settings.dlq_topic)
        if not dead:
            return ["no order is dead"]
        chosen = str(origin_of(dead[0]))
        retries = [one for one in _records(admin, reader, settings.retry_topic) if str(origin_of(one)) == chosen]
    return _told(chosen, sorted(retries, key=lambda one: headers.retry_count(headers_of(one))), dead[0])


def _records(admin: Admin, reader: Reader, topic: str) -> list[Message]:
    return list(reader.read(admin.bounds(admin.slots(topic))))


def _told(origin: str, retries: list[Message], dead: Message) -> list[str]:
    lines = [f"order {(dead.key() or b'').decode(errors='replace')} at {origin}"]
    failed = [headers.number(headers_of(one), headers.FAILED_AT, 15) or 0 for one in [*retries, dead]]
    error = headers.text(headers_of(dead), headers.ERROR)
    lines.append(f"  failed in main: {error}")
    for number, (one, before, after) in enumerate(zip(retries, failed, failed[1:], strict=False), 1):
        lines.append(f"  retry {number} from {slot_of(one)}: failed again after {(after - before) / 1000:.1f} s")
    fqcn = headers.text(headers_of(dead), headers.EXCEPTION_FQCN)
    lines.append(f"  dead letter at {slot_of(dead)}: {fqcn}: {error}")
    return lines
