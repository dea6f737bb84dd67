"""The producer that stands by: made and connected, and not yet initialised, so that a renewal takes 3 ms."""

from __future__ import annotations

import threading
from contextlib import suppress

from confluent_kafka import KafkaError
from confluent_kafka.cimpl import Producer  # the client's own: tracing tools replace the package's

from kafka_orders.log.clients import ClientConfig, ClientFailure, dispose, kafka_error, made
from kafka_orders.log.errors import denied
from kafka_orders.log.patience import Patience

#: Signals wait for a call of the client to return, so each call is short.
_SLICE_SECONDS = 1.0
#: Asked for only to connect: it is on every broker that knows transactions, and without right nothing is told.
_SOME_TOPIC = "__transaction_state"


class Standby:
    """The next producer of one transactional.id."""

    def __init__(self, config: ClientConfig, patience: Patience) -> None:
        self._config, self._patience = config, patience
        self._make()

    def _make(self) -> None:
        """Make it and have it connect: init_transactions waits 500 ms for one that is not.

        librdkafka looks for the coordinator when asked to initialise, and then twice a second, which is no
        setting. The first answer replaces the bootstrap connection; the second comes over the broker's own.
        """
        producer = self._producer = made(Producer, self._config)

        def connect() -> None:
            with suppress(*ClientFailure):
                for _ in range(2):
                    producer.list_topics(_SOME_TOPIC, _SLICE_SECONDS)

        self._connecting = threading.Thread(target=connect, name="connect-standby", daemon=True)
        self._connecting.start()

    def take(self) -> Producer:
        """Return it with a new epoch, and have another one stand by; waits as long as no coordinator answers.

        Raises:
            BrokerError: permission for the transactional.id is missing, or the login is refused.
        """
        transactional_id = str(self._config["transactional.id"])
        while True:
            self._connecting.join(_SLICE_SECONDS)
            try:
                self._producer.init_transactions(_SLICE_SECONDS)
            except ClientFailure as raised:
                error = kafka_error(raised)
                if refusal := denied(error, "", transactional_id=transactional_id):
                    raise refusal from raised
                self.listen()
                if not error.retriable() and error.code() != KafkaError._TIMED_OUT:
                    self._make()
                self._patience.wait(f"initialise transactional.id {transactional_id}", error.str())
            else:
                self._patience.over()
                taken = self._producer
                self._make()
                return taken

    def listen(self) -> None:
        """Have told what is told to polls only: that the login is refused."""
        self._producer.poll(0)

    def close(self) -> None:
        """Let go of it."""
        self._producer.purge()
        dispose([self._producer])
