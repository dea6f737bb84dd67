"""Tries failed orders again when they are due: after 2, 4 and 8 seconds, then they are dead.

    python -m retry.retry_consumer

It runs the main consumer's own process_order, counts what succeeds now, and commits it all in one
Kafka transaction per batch, as the main consumer does.
"""

from typing import Any

import kafka_orders
from consumer.main_consumer import process_order

#: Retries before an order goes to the dead letter queue (KAFKA_ORDERS_MAX_RETRIES is stronger).
MAX_RETRIES = kafka_orders.from_environment("max_retries")


def get_retry_count(headers: Any) -> int:
    """Return how often the order was tried again; 0 if the header is missing or makes no sense."""
    return kafka_orders.retry_count(headers)


def send_back_to_retry(msg: Any, error_msg: str, retry_count: int) -> None:
    """Let the order wait for its next retry; called for every temporary failure below MAX_RETRIES."""
    kafka_orders.send_to_retry(msg, error_msg, retry_count)


def send_to_dlq(msg: Any, error_msg: str) -> None:
    """Send the order to `orders_dlq`; called when no retry is left or none can help."""
    kafka_orders.send_to_dlq(msg, error_msg)


def main() -> None:
    """Retry until Ctrl-C."""
    kafka_orders.App(
        process_order,
        role="retry",
        to_retry=send_back_to_retry,
        to_dlq=send_to_dlq,
        defaults={"max_retries": MAX_RETRIES},
    ).main()


if __name__ == "__main__":
    main()
