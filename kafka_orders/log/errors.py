"""Driver errors, translated at one boundary: what each means for the pipeline.

The table stands in DESIGN.md ("What the calls raise"), measured on a real broker.
"""

from __future__ import annotations

from confluent_kafka import KafkaError

from kafka_orders.domain.errors import BrokerError

#: No retry can help: an operator has to grant something.
_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "consumer group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional.id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}

#: The broker says that this process's producer was replaced by a newer one of the same transactional.id.
FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})

#: The broker answered that it will never take this record.
UNFIT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
    }
)

#: The client tells how it is doing; it goes on by itself.
INFORMATIONAL = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})


def denied(error: KafkaError, about: str) -> BrokerError | None:
    """Return the error to stop with when permission is missing, else None."""
    kind = _DENIED.get(error.code())
    if kind is None:
        return None
    return BrokerError(
        f"not allowed to use {kind} {about} ({error.name()}). Nothing was lost: the open transaction aborts."
        f" Grant this user the right on it and start again."
    )
