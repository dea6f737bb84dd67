"""A real Apache Kafka on this machine: no Docker, no Java installed."""
