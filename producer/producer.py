"""Sends random orders to the topic `orders`, one a second, for ever.

    python -m producer.producer

Each order is printed with the broker's delivery report. KAFKA_ORDERS_RATE, _COUNT and _SEED change
the rate, the number and the randomness; KAFKA_ORDERS_FORMAT=json or protobuf the format (Avro).
"""

from kafka_orders.programs import run_producer


def main() -> None:
    """Produce until Ctrl-C, or KAFKA_ORDERS_COUNT orders."""
    run_producer()


if __name__ == "__main__":
    main()
