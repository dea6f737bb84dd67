"""Driver errors, translated at one boundary: what each means for the pipeline.

The table stands in DESIGN.md ("What the calls raise"), measured on a real broker.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError

from kafka_orders.domain.errors import BrokerError
from kafka_orders.log.clients import LOGIN_REFUSED

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
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG,
     KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP}
)  # fmt: skip

_START_ONE = (
    "Start one with `kafka-orders broker start` (no Docker needed; from a clone:"
    " `python -m kafka_orders broker start`)\nor with `docker compose up -d`,"
    " or name another one in KAFKA_ORDERS_BOOTSTRAP_SERVERS."
)


_OURS = "Check, or name, the certificate in ssl.certificate.location and its key in ssl.key.location"

#: What the client says -> what it means and what to do; the first that was heard counts, telling ones first.
#: A fix that is a sentence stands for itself, others are properties to set.
_UNREACHED = {
    LOGIN_REFUSED: ("it refuses user name or password", "Correct sasl.username and sasl.password"),
    "mechanism handshake failed": ("it takes no such login", "Correct sasl.mechanism and security.protocol"),
    "certificate has expired": ("its certificate has expired", "Have it renewed on the broker."),
    "mismatch, certificate": ("its certificate is for another host", "Name the broker as its certificate does."),
    "alert certificate required": ("it wants a certificate of this client, by an authority that it knows", _OURS),
    "alert certificate": ("it refuses this client's certificate: expired, or not to be trusted", _OURS),
    "alert unknown ca": ("it does not know the authority of this client's certificate", _OURS),
    "certificate verify failed": ("its certificate is not of an authority known here, or for another host name",
                                  "Name the authority's certificate in ssl.ca.location"),
    "connecting to a PLAINTEXT": ("TLS was spoken to a port without TLS", "Take ssl out of security.protocol"),
    "SSL": ("the TLS handshake failed", "Check ssl.ca.location, ssl.certificate.location and ssl.key.location"),
    "in state APIVERSION_QUERY": ("the port hangs up before any answer, as a TLS port does without TLS",
                                  "Set security.protocol=ssl, or sasl_ssl with a login,"),
    "Failed to resolve": ("the host name is unknown", ""),
    "Connection refused": ("nothing listens there", ""),
    "in state UP": ("it hangs up, as on somebody who does not log in", "Set security.protocol and sasl.mechanism"),
}  # fmt: skip


def unreached(heard: Iterable[str]) -> tuple[str, str]:
    """Return why no broker answers, from what only the client's callbacks were told, and what to do."""
    told = list(heard)
    for words, (why, fix) in _UNREACHED.items():
        for one in told:
            if words in one:
                where = "" if fix.endswith(".") else " in KAFKA_ORDERS_KAFKA or --kafka."
                return f"{why} ({one})", f"{fix}{where}" if fix else _START_ONE
    return "nothing is heard from it", _START_ONE


def denied(error: KafkaError, topic: str, group: str = "", transactional_id: str = "") -> BrokerError | None:
    """Return the error to stop with when permission is missing, else None; it names what of the given it is on."""
    kind = _DENIED.get(error.code())
    if kind is None:
        return None
    about = {"consumer group": group, "transactional.id": transactional_id}.get(kind) or topic
    return BrokerError(
        f"this user has no permission on the {kind}: {about} ({error.name()}). Nothing was lost: the open"
        " transaction aborts. Grant what docs/howto/security.md lists for its role and start again."
    )
