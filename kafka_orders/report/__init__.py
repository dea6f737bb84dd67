"""The report: one read model of a pipeline, made from its topics alone, for every view of it.

Whoever keeps one has the same truth: CLI, REST API, metrics and dashboard. Nothing is stored, so a restart loses
nothing: what is shown is read from the topics again, and kept up to date by reading what is new.
"""

from kafka_orders.report.model import Report
from kafka_orders.report.reporter import Reporter, reporting

__all__ = ["Report", "Reporter", "reporting"]
