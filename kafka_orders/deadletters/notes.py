"""What operators write about a group of dead letters."""

from __future__ import annotations

from kafka_orders.deadletters.jobs import author
from kafka_orders.deadletters.queue import Queue
from kafka_orders.domain.errors import BrokerError
from kafka_orders.domain.standing import Note, dump, note_key
from kafka_orders.log.producer import PlainProducer, Report
from kafka_orders.pipeline.startup import connection_of


def write_note(queue: Queue, fingerprint: str, text: str) -> None:
    """Keep a note about a group in place of the last one; one record, so no transaction is needed.

    Raises:
        BrokerError: it was not acknowledged.
    """
    told: list[Report] = []
    producer = PlainProducer(connection_of(queue.settings))
    value = dump(Note(text, author()))
    producer.send(queue.settings.dlq_status_topic, value, note_key(fingerprint), told.append)
    producer.finish(lambda _waiting: None)
    if told and told[0].error:
        raise BrokerError(f"the note was not written: {told[0].error}")
