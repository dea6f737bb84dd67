"""Counts orders: prints each with the running averages, sends failures to retry or to the DLQ.

    python -m consumer.main_consumer

Every order is counted once or stands in the dead letter queue once, whatever crashes: failures,
averages and offsets are committed in one Kafka transaction per batch (see DESIGN.md).
"""

from typing import Any

import kafka_orders


def process_order(order: dict[str, Any]) -> None:
    """Do what the business wants with an order: return if all is well, raise if not.

    RuntimeError, ConnectionError, TimeoutError and TemporaryError are tried again later;
    anything else goes to the dead letter queue at once.
    """
    # if order["product"] == "Item3":
    #     raise RuntimeError("Simulated temporary error")


def send_to_retry(msg: Any, error_msg: str, retry_count: int = 0) -> None:
    """Let the order wait in `orders_retry`; called for every temporary failure."""
    kafka_orders.send_to_retry(msg, error_msg, retry_count)


def send_to_dlq(msg: Any, error_msg: str) -> None:
    """Send the order to `orders_dlq`; called for every permanent failure."""
    kafka_orders.send_to_dlq(msg, error_msg)


def main() -> None:
    """Consume until Ctrl-C."""
    kafka_orders.App(process_order, to_retry=send_to_retry, to_dlq=send_to_dlq).main()


if __name__ == "__main__":
    main()
