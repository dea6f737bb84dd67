"""What a change of the schema does to those who read: new consumers of old orders, old consumers of new ones.

Each format is judged by its own rules, as orders are really read here (``tests/unit/test_evolution.py`` does).
"""

from kafka_orders.formats.evolution.change import Change, Source, changes

__all__ = ["Change", "Source", "changes"]
