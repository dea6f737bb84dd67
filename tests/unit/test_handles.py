"""A client that failed is let go at once: its threads and sockets must not wait for the garbage collector."""

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import Connection
from kafka_orders.log.patience import Patience
from kafka_orders.log.transaction import _send_offsets


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_of_an_admin_client_without_an_answer_nothing_stays() -> None:
    """During an outage there is a new one every 10 s: 20 of them, with 80 threads, were seen at once."""
    clients: list[weakref.ref[AdminClient]] = []

    def question(client: AdminClient) -> str:
        clients.append(weakref.ref(client))
        if len(clients) == 5:
            return "answered"
        future: Future[str] = Future()
        future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        return future.result()

    patience = Patience()
    patience.wait = lambda *_: None  # type: ignore[method-assign]
    Admin(Connection("127.0.0.1:1"), patience).ask("find a topic", question)
    assert [client() for client in clients] == [None] * 5


def test_of_a_producer_whose_offsets_were_refused_nothing_stays() -> None:
    """Each rebalance during a transaction refuses some."""

    class Refusing:
        def send_offsets_to_transaction(self, *_: object) -> None:
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))

    producer = Refusing()
    left = weakref.ref(producer)
    with pytest.raises(KafkaException):
        _send_offsets(producer, [TopicPartition("x", 0, 1)], SimpleNamespace(metadata=None))  # type: ignore[arg-type]
    del producer
    assert left() is None
