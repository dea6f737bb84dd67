"""A real Apache Kafka on this machine: no Docker, no Java installed."""

from kafka_orders.local.cluster import Cluster, ClusterStatus

__all__ = ["Cluster", "ClusterStatus"]
