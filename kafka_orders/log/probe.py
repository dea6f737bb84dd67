"""One real request: does a broker answer, and why not?"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import wait
from dataclasses import replace
from itertools import count

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kafka_orders.domain.errors import NoBrokerError
from kafka_orders.log.clients import Connection, kafka_error, made
from kafka_orders.log.patience import Patience

_REQUEST_SECONDS = 1.0
_SERVE_SECONDS = 0.05
#: Words about a connection that no waiting mends; a refused password ends it at once, see ``clients.py``.
_HOPELESS = re.compile("certificate|unknown ca|mechanism handshake failed")


def broker_count(bootstrap_servers: str, timeout: float) -> int:
    """Return how many brokers a metadata request finds within ``timeout`` seconds; 0: none answers."""
    client = AdminClient(Connection(bootstrap_servers).admin())
    try:
        return len(client.list_topics(timeout=timeout).brokers)
    except KafkaException:
        return 0


def first_answer(client: AdminClient, seconds: float) -> None:
    """Have some broker answer within ``seconds``, serving callbacks meanwhile.

    The reason (refused, password, certificate) reaches only the error callback, and no other request serves it:
    with a wrong password that one would try to log in until it times out.

    Raises:
        KafkaException: none does.
        BrokerError: the login is refused.
    """
    answer = client.describe_cluster(request_timeout=seconds)
    while not answer.done():
        wait([answer], _SERVE_SECONDS)
        client.poll(0)
    answer.result()


def await_broker(connection: Connection, patience: Patience, heard: list[str]) -> None:
    """Wait for a first answer; one client all the time, so that a slow handshake gets through.

    What the client says meanwhile is added to ``heard``.

    Raises:
        SettingsError: a client property is unknown or impossible.
        NoBrokerError: patience has a limit, and it has passed; or no waiting can help.
        BrokerError: the login is refused.
        StopRequested: a stop was asked for meanwhile.
    """
    client = made(AdminClient, replace(connection, on_error=heard.append).admin())
    for tried in count(1):
        try:
            first_answer(client, _REQUEST_SECONDS)
        except KafkaException as raised:
            # Not at once: another broker may have a better certificate.
            if tried > 1 and any(_HOPELESS.search(one) for one in heard):
                heard += _distrust(heard, connection.properties)
                raise NoBrokerError from raised
            patience.wait("a first answer", kafka_error(raised).str())
        else:
            patience.over()
            return


def _distrust(heard: Iterable[str], properties: Mapping[str, str]) -> Iterator[str]:
    """Yield why the certificate of a broker does not convince: librdkafka does not tell, Python's TLS does."""
    found = (re.search(r"ssl://(.+):(\d+)/.*certificate verify failed", one) for one in heard)
    for host, port in {(one[1].strip("[]"), int(one[2])) for one in found if one}:
        try:
            trust = ssl.create_default_context(cafile=properties.get("ssl.ca.location"))
            with socket.create_connection((host, port), _REQUEST_SECONDS) as raw:
                trust.wrap_socket(raw, server_hostname=host).close()
        except ssl.SSLCertVerificationError as refused:
            yield f"{host}:{port}: {refused.verify_message}"
        except OSError:
            continue
