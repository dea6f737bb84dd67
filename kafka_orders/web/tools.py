"""The dead letter tools behind API and page: looking is done in turn, a replay runs on a thread of its own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kafka_orders.deadletters import jobs
from kafka_orders.deadletters.book import Book
from kafka_orders.deadletters.edit import Edit, Preview, preview
from kafka_orders.deadletters.expressions import parse
from kafka_orders.deadletters.hand import Step, taken
from kafka_orders.deadletters.journey import Journey, journey
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.marks import Marking
from kafka_orders.deadletters.notes import write_audit, write_note
from kafka_orders.deadletters.pages import Page, page
from kafka_orders.deadletters.predict import Prediction, predict
from kafka_orders.deadletters.queue import Queue, open_queue
from kafka_orders.deadletters.replay import Change, Options, Plan, Replay, plan
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.errors import (
    BrokerError,
    BusyError,
    KafkaOrdersError,
    NoBrokerError,
    NotFoundError,
    RefusedError,
)
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import JobRecord, LetterId
from kafka_orders.pipeline.roles import Job
from kafka_orders.pipeline.stop import Stop
from kafka_orders.web.running import Running

#: Letters that a prediction or the preview of an edit tries.
_TRIED = 10_000
#: Longest wait for others' scans, in seconds.
_TURN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants done: with which letters, how, why, who; ``request`` tells it from others."""

    wanted: Selection
    options: Options = field(default_factory=Options)
    reason: str = ""
    by: str = ""
    request: str = ""


@dataclass(slots=True)
class Tools:
    """The tools of one pipeline. Every action is kept in `orders_dlq_status`, with who did it."""

    settings: Settings
    job: Job
    read_only: bool = False
    running: Running = field(default_factory=Running)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _held: ExitStack = field(default_factory=ExitStack)
    _queue: Queue | None = None

    @contextmanager
    def looking(self) -> Iterator[Queue]:
        """Give the queue, which is kept open: to connect and to read all statuses takes a second."""
        if not self._lock.acquire(timeout=_TURN_SECONDS):
            raise BusyError
        try:
            if self._queue is None:
                self._queue = self._held.enter_context(open_queue(self.settings, self.job.decode))
            yield self._queue
        except (KafkaOrdersError, ValueError):
            raise
        except BaseException:
            self._forget()  # half read: the next one begins anew
            raise
        finally:
            self._lock.release()

    def _forget(self) -> None:
        self._queue = None
        self._held.close()
        self._held = ExitStack()

    def close(self) -> None:
        """Stop what runs, which can be resumed, and disconnect."""
        self.running.close()
        with self._lock:
            self._forget()

    def page(self, wanted: Selection, limit: int, cursor: str) -> tuple[Page, Queue]:
        """Return a page of letters, and the queue they are of."""
        with self.looking() as queue:
            return page(queue, wanted, limit, cursor), queue

    def show(self, name: LetterId) -> Journey:
        """Return all there is to know about a letter.

        Raises:
            NotFoundError: it is not there.
        """
        with self.looking() as queue:
            return journey(queue, self._one(queue, name))

    @staticmethod
    def _one(queue: Queue, name: LetterId) -> Letter:
        found = next(queue.letters(Selection(ids=(name,))), None) if name.topic == queue.topic else None
        if found is None:
            raise NotFoundError(f"there is no dead letter {name}: never written, or removed by retention")
        return found

    def plan(self, wanted: Selection, options: Options) -> Plan:
        """Return what a replay would do."""
        with self.looking() as queue:
            self._require(queue, wanted)
            return plan(queue, wanted, options, sample=_TRIED)

    @staticmethod
    def _require(queue: Queue, wanted: Selection) -> None:
        try:
            queue.require(wanted)
        except (RefusedError, BrokerError, NoBrokerError):
            raise
        except KafkaOrdersError as error:
            raise NotFoundError(str(error)) from error

    def predict(self, wanted: Selection, options: Options) -> tuple[Plan, Prediction]:
        """Run the handler over what a replay would send; nothing is sent."""
        planned = self.plan(wanted, options)
        return planned, predict(self.job, self.settings, planned.sample)

    def replay(self, ask: Ask) -> JobRecord:
        """Begin a replay and return its job; who asks again with the same ``request`` gets the same job.

        Raises:
            RefusedError: this is read-only, or the request's key was used for something else.
        """
        return self._begin("replay", ask)

    def edit(self, ask: Ask, work: Edit) -> JobRecord:
        """Begin to send letters back changed, and return the job."""
        return self._begin("edit", ask, work)

    def _begin(self, action: str, ask: Ask, work: Edit | None = None) -> JobRecord:
        self.check_writable()
        wanted, options = replace(ask.wanted, limit=0), asdict(ask.options)
        if work is not None:
            options["set"] = [f"{one.field}={one.expression}" for one in work.assignments]
        with self.looking() as queue:
            queue.book.refresh()
            if (known := _asked_before(queue.book.jobs, ask.request)) is not None:
                return self.running.seen(known)
            self._require(queue, wanted)
            job = jobs.begun(action, queue, wanted, ask.reason, options, by=ask.by)
            job = replace(job, request=ask.request, total=plan(queue, wanted, ask.options).total)
            queue.book.jobs[job.id] = job  # so that the same request finds it before its record does
        change = work.payload if work is not None else None
        self.running.start(job, lambda stop: self._run(job, ask.options, stop, change))
        return job

    def _run(self, job: JobRecord, options: Options, stop: Stop, change: Change | None) -> None:
        with (
            open_queue(self.settings, self.job.decode) as queue,
            taken(queue, stop, lambda _text: None) as hand,
        ):
            Replay(queue, hand, job, options, stop, change=change).run()

    def mark(self, ask: Ask, status: str) -> tuple[JobRecord, Mapping[str, int]]:
        """Discard or restore; return the job, and how many were left as they are, by why.

        Raises:
            RefusedError: this is read-only.
        """
        self.check_writable()
        with self.looking() as queue, taken(queue, Stop(), lambda _text: None) as hand:
            self._require(queue, ask.wanted)
            marking = Marking(queue, hand, ask.wanted, status, ask.reason, ask.by)
            return marking.run(), marking.passed_over

    def editing(self, sets: list[str], whole: Mapping[str, Any] | None = None) -> Edit:
        """Return one way to change orders.

        Raises:
            SettingsError: an expression is none.
        """
        assignments = [parse(one, self.job.codec.fields) for one in sets]
        return Edit(self.job.codec, self.job.contract.validator(), assignments, whole)

    def preview(self, wanted: Selection, work: Edit, options: Options) -> Preview:
        """Return what an edit would make of the letters that a replay would send."""
        return preview(work, self.plan(replace(wanted, limit=0), options).sample)

    def note(self, fingerprint: str, text: str, by: str) -> None:
        """Keep a note about a group.

        Raises:
            NotFoundError: no dead letter is of this group.
        """
        self.check_writable()
        with self.looking() as queue:
            if next(queue.letters(Selection(groups=(fingerprint,))), None) is None:
                raise NotFoundError(f"no dead letter is of group {fingerprint}; nothing was noted")
        write_note(self.settings, fingerprint, text, by=by)

    def audit(self, action: str, reason: str, by: str) -> None:
        """Keep that somebody did something else."""
        write_audit(self.settings, action, reason, by=by)

    def jobs(self) -> list[JobRecord]:
        """Return all jobs, the newest first; of those that fail here the state says so."""
        with self.looking() as queue:
            queue.book.refresh()
            held = sorted(queue.book.jobs.values(), key=lambda one: one.id, reverse=True)
        return [self.running.seen(one) for one in held]

    def cancel(self, name: str, by: str) -> JobRecord:
        """Stop a replay, wherever it runs; what was sent is committed, and it can be resumed.

        Raises:
            NotFoundError: there is no such job.
            RefusedError: it does not run.
        """
        self.check_writable()
        if self.running.stop(name):  # first of all: it needs neither Kafka nor the lock that a scan may hold
            with suppress(KafkaOrdersError):
                self.audit("cancel", name, by)
            return self.one_job(name)
        job = self.one_job(name)
        if job.state != jobs.RUNNING:
            raise RefusedError(f"{job.action} {name} does not run: it is {job.state}")
        self._cancel_elsewhere(name)
        self.audit("cancel", name, by)
        return self.one_job(name)

    def _cancel_elsewhere(self, name: str) -> None:
        def cancelled(book: Book) -> Step | None:
            """It may have ended meanwhile."""
            held = book.jobs[name]
            ends = jobs.record_of(self.settings.dlq_status_topic, jobs.moved(held, jobs.CANCELLED))
            return Step([ends]) if held.state == jobs.RUNNING else None

        with self.looking() as queue, taken(queue, Stop(), lambda _text: None) as hand:
            hand.transact(cancelled)

    def one_job(self, name: str) -> JobRecord:
        """Return a job.

        Raises:
            NotFoundError: there is none of that name.
        """
        found = next((one for one in self.jobs() if one.id == name), None)
        if found is None:
            raise NotFoundError(f"there is no job {name}")
        return found

    def check_writable(self) -> None:
        """Check that operators may change things here.

        Raises:
            RefusedError: they may not.
        """
        if self.read_only:
            raise RefusedError("this is read-only (--read-only): nothing was changed")


def _asked_before(held: Mapping[str, JobRecord], request: str) -> JobRecord | None:
    """Return the job that was begun for a request; its key stands before the colon, what was asked behind it."""
    key = request.rpartition(":")[0]
    for one in held.values() if key else ():
        if one.request == request:
            return one
        if one.request.rpartition(":")[0] == key:
            raise RefusedError(f"the idempotency key {key!r} was used for another request, job {one.id}")
    return None


def request_of(key: str, body: str) -> str:
    """Return what tells a request from others; empty without a key."""
    return f"{key}:{hashlib.sha256(body.encode()).hexdigest()[:16]}" if key else ""
