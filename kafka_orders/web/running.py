"""The jobs that run in this process, each on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kafka_orders.deadletters.jobs import RUNNING
from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.standing import JobRecord
from kafka_orders.pipeline.stop import Stop

#: A job finishes its transaction well within so many seconds.
_END_SECONDS = 15.0
FAILED = "failed"
_log = logging.getLogger("kafka_orders.jobs")


@dataclass(slots=True)
class _Run:
    job: JobRecord
    stop: Stop
    thread: threading.Thread | None = None
    trouble: str = ""


@dataclass(slots=True)
class Running:
    """Starts jobs, stops them, and knows how those of this process ended."""

    _runs: dict[str, _Run] = field(default_factory=dict)

    def start(self, job: JobRecord, work: Callable[[Stop], None]) -> None:
        """Run ``work`` for a job."""
        run = self._runs[job.id] = _Run(job, Stop())

        def body() -> None:
            try:
                work(run.stop)
            except KafkaOrdersError as error:
                run.trouble = str(error)
            except Exception as error:  # a defect of ours: the operator has to hear of it, too
                _log.exception("%s %s failed", job.action, job.id)
                run.trouble = f"{type(error).__name__}: {error}"

        run.thread = threading.Thread(target=body, name=f"job-{job.id}", daemon=True)
        run.thread.start()

    def stop(self, name: str) -> bool:
        """Stop a job and wait for its end; False: it does not run here."""
        run = self._runs.get(name)
        if run is None or run.thread is None or not run.thread.is_alive():
            return False
        run.stop.request()
        run.thread.join(_END_SECONDS)
        return True

    def seen(self, job: JobRecord) -> JobRecord:
        """Return a job's record, or what is known better here: that it failed, and why."""
        run = self._runs.get(job.id)
        is_ours = run is not None and run.trouble and job.state == RUNNING
        return replace(job, state=FAILED, reason=run.trouble) if run and is_ours else job

    def failed(self) -> list[JobRecord]:
        """Return the jobs that failed here, which may have no record."""
        return [self.seen(run.job) for run in self._runs.values() if run.trouble]

    def close(self) -> None:
        """Stop all."""
        for name in list(self._runs):
            self.stop(name)
