"""Replaying: dead letters are sent back and marked, both in one transaction.

1. **select** within the bounds that the job was begun with;
2. **decide** for each letter, on statuses read after taking the epoch, where it goes, or why it is passed over;
3. **send** a batch, and once the broker has told the places, **mark** each letter as `replaying`, and the job with
   how far it came;
4. **commit**.

That a replay came to a good end is not for this module to say: the retry role does, in the transaction that
handles the replayed record (``domain/standing.py``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from kafka_orders.deadletters import jobs
from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.dialects import is_failure_header
from kafka_orders.deadletters.hand import Hand, Step
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.queue import Queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain import headers
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.headers import Headers, Origin
from kafka_orders.domain.policy import retry_partition
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import OPEN, REPLAYING, JobRecord, Standing, dump, letter_key
from kafka_orders.log.transaction import OutRecord
from kafka_orders.pipeline.stop import Stop

#: Letters of one transaction at the most; with a rate they are those that are due, so often in a second.
_BATCH = 500
_BATCHES_A_SECOND = 20

#: Returns the payload to send in place of a letter's own; raises ValueError where it cannot be changed.
Change = Callable[[Letter], bytes]


@dataclass(frozen=True, slots=True)
class Options:
    """How to replay.

    ``to`` is the topic to send to; empty: where the letter was to be handled, our own at the retry topic. ``rate``
    is per second, 0: as fast as possible. ``most`` of them, 0: all. A letter that was replayed ``max_replays``
    times already is parked: it stays dead.
    """

    to: str = ""
    rate: float = 0.0
    most: int = 0
    max_replays: int = 2


@dataclass(slots=True)
class Plan:
    """What a replay would do: letters by target and by error, and those passed over by reason."""

    targets: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    #: The first letters of it, for looking closer.
    sample: list[Letter] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Letters that would be sent."""
        return self.targets.total()


@dataclass(frozen=True, slots=True)
class Router:
    """Decides where a dead letter goes, or why it does not."""

    settings: Settings
    partitions: Mapping[str, int]
    options: Options

    def target(self, letter: Letter) -> str:
        """Return the topic to send to by default or request."""
        return self.options.to or letter.told.target or self.settings.retry_topic

    def objection(self, letter: Letter, standing: Standing) -> str:
        """Return why a letter is passed over; empty: it is sent."""
        if standing.status != OPEN:
            return f"is {standing.status}"
        if letter.told.replay_count >= self.options.max_replays:
            return f"is parked: it was replayed {letter.told.replay_count} times (--max-replays)"
        if letter.payload is None:
            return "has no payload: its system did not copy it"
        target = self.target(letter)
        return "" if target in self.partitions else f"its topic {target} does not exist (--to names another one)"

    def record(self, letter: Letter, job: str, told: Callable[[str], None], payload: bytes | None) -> OutRecord:
        """Return the record that goes out in place of the dead letter."""
        topic, told_of = self.target(letter), letter.told
        origin = told_of.origin or Origin(*letter.id, letter.timestamp_ms)
        held = sent_headers(letter, origin, job)
        partition = None
        if topic == self.settings.retry_topic:
            most, count = self.settings.max_retries, self.partitions[topic]
            partition = retry_partition(0, letter.key, str(origin), count, most)
        return OutRecord(topic, partition, letter.key, payload, held, told=told)


def sent_headers(letter: Letter, origin: Origin, job: str) -> Headers:
    """Return the headers of a replayed record: a stranger's own, the origin, and what it is the replay of."""
    kept = [one for one in letter.headers if not is_failure_header(one[0])]
    return [
        *headers.traced_once(kept),
        (headers.ORIGINAL_TOPIC, origin.topic.encode()),
        (headers.ORIGINAL_PARTITION, b"%d" % origin.partition),
        (headers.ORIGINAL_OFFSET, b"%d" % origin.offset),
        *([(headers.ORIGINAL_TIMESTAMP, b"%d" % origin.timestamp_ms)] if origin.timestamp_ms >= 0 else []),
        (headers.REPLAY_ID, job.encode()),
        (headers.REPLAY_COUNT, b"%d" % (letter.told.replay_count + 1)),
        (headers.REPLAY_OF, str(letter.id).encode()),
    ]


def router_of(queue: Queue, options: Options) -> Router:
    """Return what decides for a queue: it knows the topics that there are.

    Raises:
        SettingsError: the topic to send to is one that only the pipeline itself writes.
    """
    own = queue.settings
    if options.to in (own.dlq_topic, own.averages_topic, own.dlq_status_topic):
        raise SettingsError(f"--to {options.to}: only the pipeline itself writes there")
    return Router(queue.settings, queue.admin.partition_counts(), options)


def plan(queue: Queue, wanted: Selection, options: Options, sample: int = 0) -> Plan:
    """Return what :func:`replay` would do now; nothing is sent."""
    router, made = router_of(queue, options), Plan()
    for letter in queue.letters(wanted):
        if why := router.objection(letter, letter.standing):
            made.passed_over[why] += 1
            continue
        made.targets[router.target(letter)] += 1
        made.errors[letter.told.fqcn or "unknown"] += 1
        if len(made.sample) < sample:
            made.sample.append(letter)
        if made.total == options.most:
            break
    return made


@dataclass(slots=True)
class Replay:
    """A replay at work: :meth:`run` it once. ``sent`` are those of this run, the job tells of all its runs."""

    queue: Queue
    hand: Hand
    job: JobRecord
    options: Options
    stop: Stop
    #: Told how many more were sent.
    progress: Callable[[int], None] = lambda _more: None
    change: Change | None = None
    sent: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    #: Letters that earlier runs of this job have sent.
    _before: set[str] = field(init=False, default_factory=set)
    _router: Router = field(init=False)
    _started: float = field(init=False)

    def run(self) -> JobRecord:
        """Send until all is sent, or a stop is asked for; return the job as it ended.

        Raises:
            RefusedError: a later replay took over.
            BrokerError: permission is missing, or a record does not fit its topic.
        """
        self._router = router_of(self.queue, self.options)
        began = self.job

        def begin(book: Book) -> Step:
            """Count what earlier runs of this job have sent: they may be met late, and bound the rest."""
            nonlocal began
            marked = book.all(self.queue.topic).items() if self.job.history else ()
            self._before = {name for name, standing in marked if standing.job == self.job.id}
            began = jobs.moved(replace(self.job, done=len(self._before), passed_over=0), jobs.RUNNING)
            return Step(jobs.take_over(self._status_topic, began, book))

        self.hand.transact(begin)
        self.job = self.hand.book.jobs[began.id] = began  # what was read before is over
        self._started, is_all = time.monotonic(), True
        for letters in self._batches():
            if self.stop.requested:
                is_all = False
                break
            self._send(letters)
            if self.options.rate:
                self.stop.pause(self._started + self.sent / self.options.rate - time.monotonic())
        ended = jobs.moved(self.job, jobs.DONE if is_all else jobs.CANCELLED)
        self._transact(lambda _book: Step([jobs.record_of(self._status_topic, ended)]))
        self.job = ended
        return ended

    @property
    def _status_topic(self) -> str:
        return self.queue.settings.dlq_status_topic

    def _batches(self) -> Iterator[list[Letter]]:
        bounds = jobs.bounds_of(self.job, self.queue.ends())
        found = self.queue.letters(Selection.of_dict(self.job.selection), bounds)
        while letters := list(islice(found, self._room())):
            yield letters

    def _room(self) -> int:
        """Return how many letters the next transaction may take: what is due, also after a slow one."""
        room, rate = _BATCH, self.options.rate
        if rate:
            due = (time.monotonic() - self._started + 1 / _BATCHES_A_SECOND) * rate - self.sent
            room = max(1, min(room, int(due)))
        return max(0, min(room, self.options.most - self.job.done)) if self.options.most else room

    def _send(self, letters: list[Letter]) -> None:
        going: list[Letter] = []
        objections: Counter[str] = Counter()
        after = before = self.job

        def build(book: Book) -> Step | None:
            """Decide on what is true now; of a try whose outcome was unknown, some may be done."""
            nonlocal after
            standings = [(letter, book.standing(letter.id)) for letter in letters]
            new = [(one, self._objection(one, held)) for one, held in standings if held.job != before.id]
            going[:] = [letter for letter, why in new if not why]
            objections.clear()
            objections.update(why for _, why in new if why)
            counted = sum(str(letter.id) in self._before for letter in letters)
            done = before.done + len(letters) - objections.total() - counted
            after = replace(before, done=done, passed_over=before.passed_over + objections.total())
            return self._step(going, after) if going else None

        self._transact(build)
        self.job = after
        self.sent += len(going)
        self.passed_over.update(objections)
        self.progress(len(letters))

    def _objection(self, letter: Letter, standing: Standing) -> str:
        if (why := self._router.objection(letter, standing)) or self.change is None:
            return why
        try:
            self.change(letter)
        except ValueError as error:
            return f"cannot be changed: {error}"
        return ""

    def _step(self, letters: list[Letter], job: JobRecord) -> Step:
        places: list[str] = [""] * len(letters)

        def records() -> Iterator[OutRecord]:
            for number, letter in enumerate(letters):
                payload = self.change(letter) if self.change else letter.payload
                yield self._router.record(letter, job.id, partial(places.__setitem__, number), payload)

        def marks() -> Iterator[OutRecord]:
            for number, letter in enumerate(letters):
                standing = Standing(
                    REPLAYING, job.id, letter.told.replay_count + 1, places[number],
                    self.change is not None, job.author,
                )  # fmt: skip
                yield OutRecord(self._status_topic, None, letter_key(letter.id), dump(standing))
            yield jobs.record_of(self._status_topic, job)

        return Step(records(), marks)

    def _transact(self, build: Callable[[Book], Step | None]) -> None:
        def checked(book: Book) -> Step | None:
            jobs.check_ours(self.job, book)
            return build(book)

        self.hand.transact(checked)
