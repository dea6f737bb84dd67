"""The transactional producer: one call is one transaction, and a suspect producer is never used again.

librdkafka speaks the transaction protocol from before KIP-890 part 2: the epoch stays the same from
transaction to transaction. An EndTxn that arrives late (its connection broke, the client sent it again)
would therefore end the *next* transaction halfway, without any error. So, before the next ``begin``,
a producer whose last transaction is suspect is replaced by one with the same transactional.id: its
``init_transactions`` raises the epoch, aborts what is open, and the broker refuses the late EndTxn.
With ``renew_always`` each transaction has an epoch of its own, and the window is closed, not narrowed.
docs: DESIGN.md "Non-obvious" 1; test: ``tests/integration/test_transaction.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from kafka_orders.domain.errors import FencedError, TransactionFailedError
from kafka_orders.domain.headers import without_detail
from kafka_orders.log.clients import (
    RETRY_BACKOFF_MS,
    TRANSACTION_TIMEOUT_MS,
    ClientFailure,
    Connection,
    dispose,
    kafka_error,
)
from kafka_orders.log.errors import FENCED, UNFIT, denied
from kafka_orders.log.standby import Standby

if TYPE_CHECKING:
    from kafka_orders.domain.headers import Headers
    from kafka_orders.log.consumer import GroupToken
    from kafka_orders.log.patience import Patience

#: A re-send cannot happen sooner than retry.backoff.ms (less 20 % jitter); an ordinary end takes 1-3 ms.
SUSPECT_SECONDS = 0.75 * RETRY_BACKOFF_MS / 1000
#: Fenced again within this many seconds of the last time: another live process has our transactional.id.
_FENCED_AGAIN_SECONDS = 60.0
#: Signals wait for a call of the client to return, so each call is short.
_SLICE_SECONDS = 1.0
_LIMIT_SECONDS = TRANSACTION_TIMEOUT_MS / 1000
#: Listen at least this often for what is told to polls only, in seconds: before each transaction it cost 4 %.
_LISTEN_SECONDS = 1.0


class OutRecord(NamedTuple):
    """A record to write. ``spare`` names headers to drop, one after the other, where it is too large.

    ``told`` is given its place (topic/partition/offset) before the commit, by a producer that ``tells_time``.
    """

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    spare: Sequence[str] = ()
    told: Callable[[str], None] | None = None


class Offset(NamedTuple):
    """A position to commit: the offset of the next record to handle."""

    topic: str
    partition: int
    next_offset: int


class TransactionalProducer:
    """Runs transactions for one transactional.id; owned by one thread."""

    def __init__(
        self, connection: Connection, transactional_id: str, patience: Patience, *, renew_always: bool = False,
        tells_time: bool = False,
    ) -> None:  # fmt: skip
        """``tells_time``: keep :attr:`broker_time`, for which every record has to be reported (1 microsecond)."""
        self.transactional_id, self._renew_always = transactional_id, renew_always
        config = connection.transactional_producer(transactional_id)
        config["delivery.report.only.error"] = not tells_time
        self._standby = Standby(config, patience)
        self._current: Producer | None = None
        self._listened_at = 0.0
        self._suspect, self._used = "start", False
        self._fenced_at: float | None = None
        self._began = 0.0
        self._delivery_error: KafkaError | None = None
        self._unsent: set[str] = set()
        #: (log append time in epoch ms, monotonic seconds) of the newest acknowledged record.
        self.broker_time: tuple[int, float] | None = None

    @property
    def suspect(self) -> str:
        """Why the producer has to be replaced before the next transaction; empty when it is sound."""
        return self._suspect

    def distrust(self, why: str) -> None:
        """Have the producer replaced before the next transaction."""
        self._suspect = self._suspect or why

    def renew(self) -> bool:
        """Replace a suspect producer by the standby, already connected: a new epoch in about 3 ms.

        This aborts what the old one left open, or completes what it had begun to commit, so state read
        from Kafka afterwards is final. Waits as long as the coordinator does not answer.

        Raises:
            BrokerError: permission for the transactional.id is missing, or the login is refused.
        """
        if not self._suspect:
            self._listen()
            return False
        self._replace()
        return True

    def _replace(self) -> None:
        if self._current is not None:
            self._current.purge()
            holder, self._current = [self._current], None  # the only reference: it is destroyed over there
            dispose(holder)
        self._current = self._standby.take()
        self._suspect, self._used, self._delivery_error, self._unsent = "", False, None, set()

    def _listen(self) -> None:
        """Have told, now and then, that a login is refused meanwhile: it is told to polls only."""
        if (now := time.monotonic()) - self._listened_at >= _LISTEN_SECONDS:
            self._listened_at = now
            self._standby.listen()
            if self._current is not None:
                self._current.poll(0)

    def transact(
        self, records: Iterable[OutRecord], offsets: Sequence[Offset] = (), token: GroupToken | None = None,
        then: Callable[[], Iterable[OutRecord]] | None = None,
    ) -> float:  # fmt: skip
        """Write ``records`` and commit ``offsets``, all or nothing. Return the seconds the end took.

        ``then`` yields more records once the broker has the first ones, and has told their places.

        Raises:
            TransactionFailedError: the outcome is not known to be a commit. The producer is suspect now: call
                :meth:`renew`, then restore state from Kafka. Never trust memory, it may have been committed.
            FencedError: another live process uses this transactional.id.
            BrokerError: permission is missing.
        """
        if self._suspect or self._current is None:
            raise ValueError("renew() comes before transact()")
        if self._renew_always and self._used:
            self._replace()  # not straight after the last commit, whose markers may still be being written
        producer, self._used, self._began = self._current, True, time.monotonic()
        try:
            producer.begin_transaction()  # 3. begin
            for record in records:  # 4. route, 5. write
                self._produce(producer, record)
            self._flush(producer)  # 6. flush, then send offsets
            if then is not None:
                for record in then():
                    self._produce(producer, record)
                self._flush(producer)
            started = time.monotonic()
            if token is not None:
                send = [TopicPartition(one.topic, one.partition, one.next_offset) for one in offsets]
                _send_offsets(producer, send, token)
            self._commit(producer, started)  # 7. commit
        except ClientFailure as raised:
            raise self._failed(self._aborted(producer, raised), offsets, token.group if token else "") from raised
        took = time.monotonic() - started
        if took >= SUSPECT_SECONDS:
            self._suspect = f"ending the transaction took {took * 1000:.0f} ms"
        return took

    def _produce(self, producer: Producer, record: OutRecord) -> None:
        partition, spare, told = (
            -1 if record.partition is None else record.partition,
            record.spare,
            self._delivered if record.told is None else partial(self._placed, record.told),
        )
        headers: Any = record.headers or []
        while True:
            try:
                producer.produce(record.topic, record.value, record.key, partition, told, headers=headers)
            except BufferError:
                producer.poll(0.1)
            except KafkaException as raised:
                if kafka_error(raised).code() != KafkaError.MSG_SIZE_TOO_LARGE or not spare:
                    raise
                headers, spare = without_detail(headers, spare[0]), spare[1:]
            else:
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            # Purged by our own abort: a consequence, which may be told before its cause.
            if error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
                self._delivery_error = self._delivery_error or error
            self._unsent.add(str(message.topic()))
        elif message.timestamp()[0] == 2:  # TIMESTAMP_LOG_APPEND_TIME: the broker's own clock
            self.broker_time = (message.timestamp()[1], time.monotonic())

    def _placed(self, told: Callable[[str], None], error: KafkaError | None, message: Message) -> None:
        self._delivered(error, message)
        if error is None:
            told(f"{message.topic()}/{message.partition()}/{message.offset()}")

    def _flush(self, producer: Producer) -> None:
        """Without the flush first, the end meets CONCURRENT_TRANSACTIONS and waits retry.backoff.ms."""
        deadline = time.monotonic() + _LIMIT_SECONDS
        while producer.flush(_SLICE_SECONDS):
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "records were not acknowledged"))
        if self._delivery_error is not None:
            raise KafkaException(self._delivery_error)

    def _commit(self, producer: Producer, started: float) -> None:
        while True:
            try:
                producer.commit_transaction(_SLICE_SECONDS)
            except KafkaException as raised:
                # After a time-out the same commit may be asked for again; anything else is an end.
                waited = time.monotonic() - started
                if kafka_error(raised).code() != KafkaError._TIMED_OUT or waited > _LIMIT_SECONDS:
                    raise
            else:
                return

    @staticmethod
    def _aborted(producer: Producer, raised: BaseException) -> KafkaError:
        """Abort where that is the answer, one short try, and return what went wrong.

        The next epoch's init aborts anyway; but where it meets an open transaction it waits
        retry.backoff.ms. After a commit that timed out, abort raises _CONFLICT, which claims to be retriable
        for ever: hence no loop.
        """
        error = kafka_error(raised)
        if error.txn_requires_abort() or isinstance(raised, SystemError):
            try:
                producer.abort_transaction(_SLICE_SECONDS)
            except ClientFailure as again:
                # A fatal error says its name here, where a delivery report had swallowed it.
                return kafka_error(again) if isinstance(raised, SystemError) else error
        return error

    def _failed(self, error: KafkaError, offsets: Sequence[Offset], group: str) -> Exception:
        cause = self._delivery_error or error
        self._suspect = f"{cause.name()}: {cause.str()}"
        # Where one topic is refused, nothing of the transaction is sent, and which one it was is not told.
        topics = " or ".join(sorted(self._unsent or {one.topic for one in offsets}))
        if refusal := denied(cause, topics, group, self.transactional_id):
            return refusal
        now = time.monotonic()
        # A transaction that lasted as long as its time-out was ended by the broker: a process that slept.
        if (error.code() in FENCED or cause.code() in FENCED) and now - self._began < _LIMIT_SECONDS:
            before, self._fenced_at = self._fenced_at, now
            if before is not None and now - before < _FENCED_AGAIN_SECONDS:
                return FencedError(
                    f"another live process uses transactional.id {self.transactional_id}: fenced twice."
                    " Nothing was lost or doubled. Give each process its own KAFKA_ORDERS_INSTANCE_ID."
                )
        failed = TransactionFailedError(self._suspect)
        failed.blames_records = cause.code() in UNFIT
        return failed

    def close(self) -> None:
        """Let go of both producers; an open transaction is left to the next epoch to abort."""
        self._standby.close()
        if self._current is not None:
            self._current.purge()
            dispose([self._current])
        self._current = None


def _send_offsets(producer: Producer, offsets: list[TopicPartition], token: GroupToken) -> None:
    """Send offsets, but never wait for ever.

    The call can block past its timeout, for good, when the coordinator goes away in the wrong moment
    (librdkafka issue 5456; seen here after a broker's kill). A thread of its own is then left behind with
    its producer, which the next epoch fences.
    """
    raised: list[BaseException] = []

    def send() -> None:
        try:
            producer.send_offsets_to_transaction(offsets, token.metadata, _LIMIT_SECONDS)
        except BaseException as error:  # handed over to the owner's thread, whatever it is
            raised.append(error.with_traceback(None))  # with it, and if kept here, a cycle would keep the producer

    sender = threading.Thread(target=send, name="send-offsets", daemon=True)
    sender.start()
    sender.join(_LIMIT_SECONDS + _SLICE_SECONDS)
    if raised:
        raise raised.pop()
    if sender.is_alive():
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "send_offsets_to_transaction does not return"))
