"""Giving dead letters up, with a reason, and taking that back while their records are retained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

from kafka_orders.deadletters import jobs
from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.hand import Hand, Step
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.standing import DISCARDED, OPEN, JobRecord, LetterId, Standing, dump, letter_key
from kafka_orders.log.transaction import OutRecord

_BATCH = 1_000


@dataclass(slots=True)
class Marking:
    """Discards open letters (``status`` discarded), or opens discarded ones again; :meth:`run` it once."""

    queue: Queue
    hand: Hand
    wanted: Selection
    status: str
    reason: str
    by: str = ""
    #: Letters that were left as they are, by what they are.
    passed_over: Counter[str] = field(default_factory=Counter)

    def run(self, progress: Callable[[int], None] = lambda _more: None) -> JobRecord:
        """Mark all that is selected; return the job.

        Raises:
            RefusedError: other tools kept taking over.
            BrokerError: permission is missing.
        """
        action = "discard" if self.status == DISCARDED else "restore"
        job = jobs.begun(action, self.queue, self.wanted, self.reason, {}, by=self.by)
        bounds = jobs.bounds_of(job, self.queue.ends())
        found = (letter.id for letter in self.queue.letters(self.wanted, bounds))
        while letters := list(islice(found, _BATCH)):
            job = replace(job, done=job.done + self._marked(letters, Standing(self.status, job.id, by=job.author)))
            progress(len(letters))
        job = jobs.moved(replace(job, passed_over=self.passed_over.total()), jobs.DONE)
        self.hand.transact(lambda _book: Step([jobs.record_of(self._topic, job)]))
        return job

    @property
    def _topic(self) -> str:
        return self.queue.settings.dlq_status_topic

    def _marked(self, letters: list[LetterId], marked: Standing) -> int:
        before = OPEN if self.status == DISCARDED else DISCARDED
        others: Counter[str] = Counter()

        def build(book: Book) -> Step | None:
            """Decide on what is true now; of a try whose outcome was unknown, all may be done."""
            standings = [(letter, book.standing(letter)) for letter in letters]
            going = [letter for letter, one in standings if one.status == before]
            others.clear()
            others.update(
                f"is {one.status}" for _, one in standings if one.status != before and one.job != marked.job
            )
            records = [OutRecord(self._topic, None, letter_key(one), dump(marked)) for one in going]
            return Step(records) if records else None

        self.hand.transact(build)
        self.passed_over.update(others)
        return len(letters) - others.total()
