"""The one hand that writes what becomes of dead letters: whoever took the epoch last.

All tools of a pipeline share one transactional.id. Taking it raises its epoch: the broker ends what another tool
has open and refuses whatever that one writes from then on. So what is read *after* taking it stays true until our
commit, or the commit fails; only the pipeline writes, too, and only about letters that are being replayed. So a
replay that is killed, started twice or run by two people sends each letter once
(tests/integration/test_replay.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.queue import Queue
from kafka_orders.domain.errors import BrokerError, FencedError, RefusedError, TransactionFailedError
from kafka_orders.log.patience import Patience
from kafka_orders.log.reader import Reader
from kafka_orders.log.transaction import OutRecord, TransactionalProducer
from kafka_orders.pipeline.startup import connection_of
from kafka_orders.pipeline.stop import Stop

#: A transaction is tried so often; others may take the epoch in between.
_TRIES = 30
#: Longest pause before the next try in seconds, a random part of it: two tools must not keep step.
_PAUSE_SECONDS = 1.0
#: The broker answers within so many seconds, or the tool gives up; nothing is half done then.
_ANSWER_SECONDS = 30.0


class Step(NamedTuple):
    """One transaction: records, and those that follow once the places of the first are known."""

    records: Iterable[OutRecord]
    then: Callable[[], Iterable[OutRecord]] | None = None


class Hand:
    """Writes in transactions what is decided on statuses that nobody else can change meanwhile."""

    def __init__(self, producer: TransactionalProducer, book: Book, stop: Stop) -> None:
        self._producer, self.book, self._stop = producer, book, stop

    def transact(self, build: Callable[[Book], Step | None]) -> None:
        """Commit what ``build`` makes of the statuses; it is asked again whenever they have to be read anew.

        None from it: there is nothing (more) to do.

        Raises:
            RefusedError: others took the epoch again and again, or ``build`` refuses; nothing is half done.
            BrokerError: permission is missing, or a record does not fit into its topic.
        """
        for _ in range(_TRIES):
            if self._producer.renew():
                self.book.refresh()
            if (step := build(self.book)) is None:
                return
            try:
                self._producer.transact(step.records, then=step.then)
            except (TransactionFailedError, FencedError) as failed:
                self._again(failed)
            else:
                return
        raise RefusedError(
            "other dead letter commands kept taking over; what was committed stands, the rest was not touched."
            " Let them end, then run the command again"
        )

    def _again(self, failed: TransactionFailedError | FencedError) -> None:
        """The outcome is unknown, and may be a commit: the next epoch settles it, then the statuses are read."""
        self._producer.distrust(str(failed))
        if isinstance(failed, TransactionFailedError) and failed.blames_records:
            raise BrokerError(f"a record does not fit into its topic ({failed}); nothing of this step was written")
        self._stop.pause(random.uniform(0.1, _PAUSE_SECONDS))  # noqa: S311  no secret

    def close(self) -> None:
        """Let go; an open transaction aborts."""
        self._producer.close()


@contextmanager
def taken(queue: Queue, stop: Stop, say: Callable[[str], None]) -> Iterator[Hand]:
    """Give the hand that writes for a pipeline's dead letters.

    Raises:
        BrokerError: permission for its transactional.id is missing.
    """
    settings, connection = queue.settings, connection_of(queue.settings)
    patience = Patience(say=say, limit=_ANSWER_SECONDS)
    producer = TransactionalProducer(connection, f"{settings.dlq_group}-tools", patience, tells_time=True)
    # A reader of its own: the scan that selects goes on between the transactions.
    with closing(Reader(connection, patience)) as reader:
        hand = Hand(producer, Book(queue.admin, reader, settings.dlq_status_topic), stop)
        with closing(hand):
            yield hand
