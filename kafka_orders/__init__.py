"""kafka-orders: delayed retry, dead letters and running averages in one Kafka transaction."""

import logging

from kafka_orders.app import App
from kafka_orders.domain.errors import KafkaOrdersError, PermanentError, RetryAfter, TemporaryError
from kafka_orders.domain.headers import Origin, retry_count
from kafka_orders.domain.settings import Settings
from kafka_orders.pipeline.desk import Meta, send_to_dlq, send_to_retry
from kafka_orders.pipeline.stop import Stop
from kafka_orders.sources import from_environment

__all__ = [
    "App",
    "KafkaOrdersError",
    "Meta",
    "Origin",
    "PermanentError",
    "RetryAfter",
    "Settings",
    "Stop",
    "TemporaryError",
    "from_environment",
    "retry_count",
    "send_to_dlq",
    "send_to_retry",
]

# A library stays silent until its program asks for log lines.
logging.getLogger("kafka_orders").addHandler(logging.NullHandler())
