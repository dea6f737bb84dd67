"""Shows what died and why: key, decoded order or <could not decode>, error.

python -m dlq.dlq_consumer
"""

from kafka_orders.programs import run_dlq_viewer


def main() -> None:
    """Print dead letters until Ctrl-C."""
    run_dlq_viewer()


if __name__ == "__main__":
    main()
