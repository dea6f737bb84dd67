"""Client settings: the named defaults on which exactly-once and speed rest, and the user's own on top."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from kafka_orders.domain.errors import BrokerError, SettingsError

ClientConfig = dict[str, Any]
T = TypeVar("T")

#: Properties of a group's members, which bind each other: one alone is refused where there is no group.
_OF_MEMBERS = frozenset(
    {"max.poll.interval.ms", "session.timeout.ms", "heartbeat.interval.ms", "group.instance.id",
     "partition.assignment.strategy", "group.protocol", "group.remote.assignor"}
)  # fmt: skip

#: librdkafka's own log lines go to Python's logging, not to stderr.
_log = logging.getLogger("kafka_orders.client")

#: After this many milliseconds librdkafka re-sends a lost request. A transaction that took this long may
#: have been ended twice (facts: late EndTxn), so the recycle rule is timed by it; see transaction.py.
RETRY_BACKOFF_MS = 500
#: Bounds how long a hung process stalls its successor, whose offset fetch waits for the open transaction.
TRANSACTION_TIMEOUT_MS = 10_000
#: What the client says where the broker refuses the login, and not where its own token server is away.
LOGIN_REFUSED = "SASL authentication error"


class _Overheard:
    """The log, and an ear on it: that a listener hangs up (TLS or a login wanted) is only logged (measured)."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def log(self, level: int, text: str, *values: object) -> None:
        _log.log(level, text, *values)
        if "Disconnected" in (told := text % values):
            self._tell(told)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the brokers: bootstrap servers, and librdkafka properties passed through as they are."""

    bootstrap_servers: str
    properties: Mapping[str, str] = field(default_factory=dict)
    session_timeout_ms: int = 10_000
    group_protocol: str = "classic"
    on_error: Callable[[str], None] | None = None

    def _base(self) -> ClientConfig:
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": "kafka-orders",
            "socket.timeout.ms": 10_000,
            # Out of addresses the client begins anew, its backoff forgotten: 40 TLS handshakes a second.
            "reconnect.backoff.ms": 500 if "security.protocol" in self.properties else 50,
            "reconnect.backoff.max.ms": 1_000,
            "allow.auto.create.topics": False,
            "logger": _log if self.on_error is None else _Overheard(self.on_error),
            "error_cb": self._heard,
        }

    def _heard(self, error: KafkaError) -> None:
        # Informational most of them: the client goes on trying by itself. That all brokers are down is no reason.
        if self.on_error is not None and error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.on_error(error.str())
        if LOGIN_REFUSED in error.str():  # trying again locks accounts; raised where callbacks are served
            raise BrokerError(
                f"the broker refuses user name or password ({error.str()}). Nothing was lost: the open transaction"
                " aborts. Correct sasl.username and sasl.password in KAFKA_ORDERS_KAFKA and start again."
            )

    def admin(self) -> ClientConfig:
        """Return the settings of an admin client."""
        return {**self._base(), **self.properties}

    def reader(self) -> ClientConfig:
        """Return the settings of a reader: no group membership, committed records only."""
        return {
            **self._base(),
            "group.id": "kafka-orders-reader",  # librdkafka demands one; it is never joined nor committed to
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 1,
            "fetch.wait.max.ms": 10,  # what the end of a partition waits for
            # By default 100,000 records are fetched ahead: 50 MB that a process keeps after a long restore.
            "queued.min.messages": 10_000,
            **{name: value for name, value in self.properties.items() if name not in _OF_MEMBERS},
            "isolation.level": "read_committed",
        }

    def member(self, group: str) -> ClientConfig:
        """Return the settings of a consumer in a group."""
        config: ClientConfig = {
            **self._base(),
            "group.protocol": self.group_protocol,
            # librdkafka's default of 1000 makes a consume() loop four to five times slower.
            "fetch.queue.backoff.ms": 1,
            "fetch.wait.max.ms": 100,
            "max.poll.interval.ms": 300_000,
        }
        if self.group_protocol == "classic":
            # The new protocol (KIP-848) has both of these set on the broker.
            config["session.timeout.ms"] = self.session_timeout_ms
            # A member learns at its next heartbeat that another has left; so long its partitions stand still.
            config["heartbeat.interval.ms"] = min(500, self.session_timeout_ms // 3)
            config["partition.assignment.strategy"] = "cooperative-sticky"
        return {
            **config,
            **self.properties,
            # Offsets are committed by transactions and starts are decided from state: no property changes that.
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
        }

    def plain_producer(self) -> ClientConfig:
        """Return the settings of an idempotent producer outside transactions."""
        return {
            **self._base(),
            "linger.ms": 5,
            "queue.buffering.max.messages": 100_000,
            **self.properties,
            "enable.idempotence": True,
            "acks": "all",
            # With more in flight the client itself doubles records, once in a while, when a leader changes: one
            # out of sequence in one partition makes it raise its epoch, and what another partition has stored but
            # not acknowledged is sent again in that epoch (librdkafka issue 4953; seen here, 3 brokers, a kill).
            "max.in.flight.requests.per.connection": 1,
        }

    def transactional_producer(self, transactional_id: str) -> ClientConfig:
        """Return the settings of a transactional producer."""
        return {
            **self._base(),
            # flush() ignores the linger. With one, a few failures leave in few requests; with a long one thousands
            # of them wait for the flush, instead of being on their way while the rest is made.
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "message.max.bytes": 100_000_000,  # the topic's own limit decides, not the client's
            **self.properties,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "retry.backoff.ms": RETRY_BACKOFF_MS,
            "retry.backoff.max.ms": 2 * RETRY_BACKOFF_MS,  # a smaller one would take the other's place
            "enable.idempotence": True,
        }


#: What a call of the client raises. A fatal error that comes up while a delivery report is served reaches
#: us as SystemError, with the KafkaException as its cause or without (confluent-kafka 2.16;
#: tests/integration/test_transaction.py, two processes with one id).
ClientFailure = (KafkaException, SystemError)


def kafka_error(raised: BaseException) -> KafkaError:
    """Return the error inside an exception of the client."""
    inner = raised.__cause__ if isinstance(raised, SystemError) else raised
    found = inner.args[0] if isinstance(inner, KafkaException) else raised
    return found if isinstance(found, KafkaError) else KafkaError(KafkaError._FAIL, str(found))


def made(kind: Callable[[ClientConfig], T], config: ClientConfig) -> T:
    """Return a new client.

    Raises:
        SettingsError: it does not take its properties.
    """
    try:
        return kind(config)
    except KafkaException as raised:
        raise SettingsError(
            f"kafka: the client does not take its properties: {kafka_error(raised).str()}. They come from --kafka,"
            " KAFKA_ORDERS_KAFKA, .env or [kafka] in kafka-orders.toml: `kafka-orders config show`"
        ) from None


def dispose(holder: list[Any]) -> None:
    """Destroy a list's clients off the caller's thread: librdkafka joins its threads, which can take a second.

    ``close()`` is not used: it waits without limit when the coordinator is gone. Where the caller keeps another
    reference for longer than this takes, the client is destroyed on its thread after all.
    """
    threading.Thread(target=holder.clear, name="dispose-client", daemon=True).start()
