"""Before a role works: a broker that answers, and the five topics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from kafka_orders.domain.errors import BrokerError, NoBrokerError, OutageError
from kafka_orders.domain.secrets import refuse_readable_secret
from kafka_orders.domain.settings import Settings
from kafka_orders.log import topics
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import Connection
from kafka_orders.log.errors import unreached
from kafka_orders.log.patience import Patience, StopRequested
from kafka_orders.log.probe import await_broker
from kafka_orders.log.reader import Reader
from kafka_orders.pipeline.stop import Stop

#: A role that has never reached a broker gives up after this many seconds; later it waits without limit.
FIRST_CONTACT_SECONDS = 15.0
#: Between two questions to what does not answer.
OUTAGE_SECONDS = 1.0

T = TypeVar("T")


def connection_of(settings: Settings) -> Connection:
    """Return how these settings reach the brokers.

    Raises:
        RefusedError: the login would go readable over the network.
    """
    refuse_readable_secret(settings)
    return Connection(
        settings.bootstrap_servers, settings.kafka, settings.session_timeout_ms, settings.group_protocol
    )


@dataclass(frozen=True, slots=True)
class Cluster:
    """A reachable broker with all topics of the pipeline."""

    connection: Connection
    partitions: dict[str, int]
    #: What is wrong with the topics' settings, one fix per line.
    complaints: list[str]
    #: Most bytes of a handler's result that the output topic takes.
    most_result_bytes: int


def reach(
    settings: Settings, stopping: Callable[[], bool], say: Callable[[str], None], *, needed: Collection[str]
) -> Cluster:
    """Wait for a broker, create the topics that are missing, and check those that may be looked at.

    Only what is ``needed`` has to be there where this user may not create it.

    Raises:
        NoBrokerError: nobody answers in time.
        BrokerError: permission is missing.
        StopRequested: a stop was asked for meanwhile.
    """
    connection, patience = connection_of(settings), Patience(stopping, say, FIRST_CONTACT_SECONDS)
    contact(settings, patience)
    admin = Admin(connection, patience)
    topics.create_all(admin, settings, needed)
    wanted = topics.fitting(admin, settings)
    counts = admin.partition_counts([one.name for one in wanted])
    try:
        complaints = topics.check(admin, [one for one in wanted if one.name in counts])
    except BrokerError:
        complaints = ["this user may not read topic settings (DescribeConfigs), so they are not checked"]
    return Cluster(connection, counts, complaints, topics.most_result_bytes(admin, settings.output_topic))


def await_outage(ask: Callable[[], T], stop: Stop, say: Callable[[str], None]) -> T:
    """Return what is asked for, once what it needs answers: a role that starts in an outage waits, and says so.

    Raises:
        StopRequested: a stop was asked for meanwhile.
    """
    told = ""
    while True:
        try:
            return ask()
        except OutageError as away:
            if str(away) != told:
                told = str(away)
                say(told)
        stop.pause(OUTAGE_SECONDS)
        if stop.requested:
            raise StopRequested


def contact(settings: Settings, patience: Patience | None = None) -> None:
    """Wait for a first answer of a broker.

    Raises:
        NoBrokerError: nobody answers in time, or the login is refused.
        RefusedError: the login would go readable over the network.
        StopRequested: a stop was asked for meanwhile.
    """
    heard: list[str] = []
    try:
        await_broker(connection_of(settings), patience or Patience(limit=FIRST_CONTACT_SECONDS), heard)
    except (NoBrokerError, BrokerError) as error:
        raise NoBrokerError(no_broker(settings.bootstrap_servers, heard)) from error


@contextmanager
def readers(settings: Settings, limit: float) -> Iterator[tuple[Admin, Reader]]:
    """Give what asks and what reads, once a broker has answered; each waits ``limit`` seconds at the most.

    Raises:
        NoBrokerError: nobody answers in time, or the login is refused.
    """
    contact(settings)
    connection, patience = connection_of(settings), Patience(limit=limit)
    with closing(Reader(connection, patience)) as reader:
        yield Admin(connection, patience), reader


def no_broker(servers: str, heard: list[str]) -> str:
    """Return what to say when nobody answers, with the reason that only the client's callbacks know."""
    why, fix = unreached(heard)
    return f"no Kafka broker answers at {servers}: {why}. No order was touched.\n{fix}"
