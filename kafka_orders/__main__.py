"""``python -m kafka_orders VERB`` is ``kafka-orders VERB``."""

from kafka_orders.cli import main

if __name__ == "__main__":
    main()
