"""One real request: does a broker answer?"""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kafka_orders.log.clients import Connection


def broker_count(bootstrap_servers: str, timeout: float) -> int:
    """Return how many brokers a metadata request finds within ``timeout`` seconds; 0: none answers."""
    client = AdminClient(Connection(bootstrap_servers).admin())
    try:
        return len(client.list_topics(timeout=timeout).brokers)
    except KafkaException:
        return 0
