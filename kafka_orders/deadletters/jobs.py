"""A run of a tool over dead letters is a job: it has an id, an author, a reason and a history."""

from __future__ import annotations

import getpass
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.errors import KafkaOrdersError, RefusedError
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.domain.standing import OPEN, JobRecord, dump, job_key
from kafka_orders.log.transaction import OutRecord

#: Events of a job's history that are kept.
_EVENTS = 50

#: Actions that are about letters; others are kept for the audit only.
TOOLS = ("replay", "edit", "discard", "restore")

RUNNING, DONE, CANCELLED, TAKEN_OVER = "running", "done", "cancelled", "taken over"


def begun(
    action: str, queue: Queue, wanted: Selection, reason: str, options: Mapping[str, Any], *, by: str = ""
) -> JobRecord:
    """Return a new job over what is in the topic now: what dies because of it is not its own business.

    ``by`` is who does it; default: who runs this process.
    """
    if action in ("replay", "edit") and OPEN in wanted.statuses:
        # Only open ones are sent in any case; a resume has to meet again what it had sent, or it counts too few.
        wanted = replace(wanted, statuses=())
    ends = {str(slot): bounds.end for slot, bounds in queue.ends().items()}
    return JobRecord(
        new_id(), action, by or author(), reason, selection=wanted.as_dict(), options=dict(options), ends=ends
    )


def new_id() -> str:
    """Return a name for a job: names are in the order of their times."""
    return f"{time.strftime('%y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"


def author() -> str:
    """Return who runs this process, as far as the machine tells."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user id, as in some containers
        return ""


def moved(job: JobRecord, state: str) -> JobRecord:
    """Return the job in another state, and that in its history."""
    event = [int(time.time() * 1000), state, job.done]
    return replace(job, state=state, history=[*job.history, event][-_EVENTS:])


def bounds_of(job: JobRecord, now: Mapping[Slot, Bounds]) -> dict[Slot, Bounds]:
    """Return the part of the topic that a job is about: what was there when it began, and still is."""
    return {slot: Bounds(one.start, min(one.end, job.ends.get(str(slot), 0))) for slot, one in now.items()}


def record_of(topic: str, job: JobRecord) -> OutRecord:
    """Return the record that keeps a job."""
    return OutRecord(topic, None, job_key(job.id), dump(job))


def take_over(topic: str, job: JobRecord, book: Book) -> list[OutRecord]:
    """Return the records that begin a job: its own, and if it is a replay, the end of all that have not ended.

    An edit is short: a replay that runs goes on after it.
    """
    running = [one for one in book.jobs.values() if one.state == RUNNING and one.id != job.id]
    others = running if job.action == "replay" else []
    return [record_of(topic, moved(one, TAKEN_OVER)) for one in others] + [record_of(topic, job)]


def check_ours(job: JobRecord, book: Book) -> None:
    """Check that no later replay took over, and that nobody cancelled it.

    Raises:
        RefusedError: so it was.
    """
    held = book.jobs.get(job.id)
    if held is not None and held.state == CANCELLED and job.state == RUNNING:
        raise RefusedError(
            f"replay {job.id} was cancelled by somebody else, after {held.done} were sent; nothing was sent twice."
            f" `kafka-orders dlq replay --resume {job.id}` goes on"
        )
    if held is not None and held.state == TAKEN_OVER:
        raise RefusedError(
            f"another replay took over from {job.id}, which had sent {job.done}; nothing was sent twice."
            f" What is left is the other's; `kafka-orders dlq replay --resume {job.id}` would take over again"
        )


def to_resume(name: str, jobs: Iterable[JobRecord]) -> JobRecord:
    """Return the replay to go on with: the one named, or the ``latest`` that did not come to its end.

    Raises:
        KafkaOrdersError: there is none, or it has come to its end.
    """
    replays = sorted((one for one in jobs if one.action == "replay"), key=lambda one: one.id)
    if name != "latest":
        found = next((one for one in replays if one.id == name), None)
        if found is None:
            raise KafkaOrdersError(f"there is no replay {name}; `kafka-orders dlq stats` lists those there were")
    else:
        found = next((one for one in reversed(replays) if one.state != DONE), None)
        if found is None:
            raise KafkaOrdersError("there is no replay to resume: each came to its end")
    if found.state == DONE:
        raise KafkaOrdersError(f"replay {found.id} came to its end: {found.done} were sent")
    return found
