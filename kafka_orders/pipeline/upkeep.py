"""Looking after the pipeline's topics: create, check, reset."""

from __future__ import annotations

from collections.abc import Callable

from kafka_orders.domain.settings import Settings
from kafka_orders.log import topics
from kafka_orders.log.admin import Admin
from kafka_orders.log.patience import Patience
from kafka_orders.pipeline.startup import FIRST_CONTACT_SECONDS, connection_of, contact

Say = Callable[[str], None]


def names(settings: Settings) -> list[str]:
    """Return the names of the five topics."""
    return [one.name for one in topics.specs(settings)]


def create(settings: Settings, say: Say) -> list[str]:
    """Create the topics that are missing and return their names.

    Raises:
        NoBrokerError: nobody answers.
    """
    return topics.create_all(_admin(settings, say), settings)


def check(settings: Settings, say: Say) -> list[str]:
    """Return what is wrong, one fix per line.

    Raises:
        NoBrokerError: nobody answers.
    """
    admin = _admin(settings, say)
    return topics.check(admin, topics.fitting(admin, settings))


def reset(settings: Settings, say: Say) -> None:
    """Delete topics and groups, and create the topics anew.

    Raises:
        NoBrokerError: nobody answers.
        BrokerError: a role is still running; nothing was deleted.
    """
    admin = _admin(settings, say)
    topics.delete(admin, names(settings), [settings.group, settings.retry_group, settings.dlq_group])
    topics.create_all(admin, settings)


def _admin(settings: Settings, say: Say) -> Admin:
    contact(settings)
    return Admin(connection_of(settings), Patience(say=say, limit=2 * FIRST_CONTACT_SECONDS))
