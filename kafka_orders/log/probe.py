"""One real request: does a broker answer?"""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kafka_orders.log.clients import Connection, kafka_error, made
from kafka_orders.log.patience import Patience

_REQUEST_SECONDS = 1.0


def broker_count(bootstrap_servers: str, timeout: float) -> int:
    """Return how many brokers a metadata request finds within ``timeout`` seconds; 0: none answers."""
    client = AdminClient(Connection(bootstrap_servers).admin())
    try:
        return len(client.list_topics(timeout=timeout).brokers)
    except KafkaException:
        return 0


def await_broker(connection: Connection, patience: Patience) -> None:
    """Wait for a first answer; one client all the time, so that a slow handshake gets through.

    Raises:
        SettingsError: a client property is unknown or impossible.
        NoBrokerError: patience has a limit, and it has passed.
        StopRequested: a stop was asked for meanwhile.
    """
    client = made(AdminClient, connection.admin())
    while True:
        try:
            client.list_topics(timeout=_REQUEST_SECONDS)
        except KafkaException as raised:
            client.poll(0)  # the reason (refused, password, certificate) reaches only the error callback
            patience.wait("a first answer", kafka_error(raised).str())
        else:
            patience.over()
            return
