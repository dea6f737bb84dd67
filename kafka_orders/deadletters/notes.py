"""What operators write about a group of dead letters."""

from __future__ import annotations

import re

from kafka_orders.deadletters.jobs import DONE, author, new_id
from kafka_orders.domain.errors import BrokerError, NotFoundError
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import JobRecord, Note, dump, job_key, note_key
from kafka_orders.log.producer import Copy, PlainProducer, Report
from kafka_orders.pipeline.startup import connection_of

#: What a group may be called: a fingerprint is a header, which a stranger may have written.
_GROUP = re.compile(r"[\w.-]{1,100}")


def write_note(settings: Settings, fingerprint: str, text: str, *, by: str = "") -> None:
    """Keep a note about a group in place of the last one; ``by`` is who wrote it.

    Raises:
        NotFoundError: no group can be called that.
        BrokerError: it was not acknowledged.
    """
    if not _GROUP.fullmatch(fingerprint):
        raise NotFoundError(f"{fingerprint[:40]!r} is no group: `kafka-orders dlq groups` shows them")
    who = by or author()
    job = JobRecord(new_id(), "note", who, text, DONE, selection={"groups": [fingerprint]})
    _write(settings, [(note_key(fingerprint), dump(Note(text, who))), (job_key(job.id), dump(job))])


def write_audit(settings: Settings, action: str, reason: str, *, by: str = "") -> None:
    """Keep that an operator did something that no tool of the dead letters does: its line is a job that is done.

    Raises:
        BrokerError: it was not acknowledged.
    """
    job = JobRecord(new_id(), action, by or author(), reason, DONE)
    _write(settings, [(job_key(job.id), dump(job))])


def _write(settings: Settings, records: list[tuple[bytes, bytes]]) -> None:
    told: list[Report] = []
    producer = PlainProducer(connection_of(settings))
    for key, value in records:  # each says all by itself, so no transaction is needed
        producer.put(settings.dlq_status_topic, Copy(key, value), told.append)
    producer.finish(lambda _waiting: None)
    for one in told:
        if one.error:
            raise BrokerError(f"the note was not written: {one.error}")
