"""A report that keeps itself up to date, on a thread of its own; whoever wants it takes the newest."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

from kafka_orders.domain.errors import KafkaOrdersError
from kafka_orders.domain.order import Decode
from kafka_orders.domain.settings import Settings
from kafka_orders.report.model import Report
from kafka_orders.report.reporter import Reporter, reporting

#: From one refresh to the next, in seconds.
EVERY_SECONDS = 1.0
#: A refresh takes a fifth of a second; one that takes so many is no longer taken for one.
_SILENT_SECONDS = 4.0
_log = logging.getLogger("kafka_orders.report")


class Live:
    """The newest report of a pipeline. A broker that is away makes it old, never wrong: it says so."""

    def __init__(self, settings: Settings, decode: Decode) -> None:
        self._settings, self._decode = settings, decode
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)
        #: The newest report; before the first one it is empty, and its ``trouble`` says why.
        self.report = Report(0, trouble="the topics are being read for the first time")
        self._told_at = time.monotonic()
        #: Grows with every report.
        self.version = 0

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """End; waits for the refresh that is on."""
        self._ended.set()
        self._thread.join(15.0)

    @property
    def ready(self) -> bool:
        """The broker answers, and all that was there has been read."""
        return bool(self.report.at_ms) and not self.trouble

    @property
    def trouble(self) -> str:
        """Why the report is old; empty: it is not. A broker that is away is told before its time-outs are."""
        if self.report.trouble or not self.report.at_ms:
            return self.report.trouble
        silent = time.monotonic() - self._told_at
        return f"the broker has not answered for {silent:.0f} s" if silent > _SILENT_SECONDS else ""

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with ExitStack() as held:
                    self._follow(held.enter_context(reporting(self._settings, self._decode)))
            except KafkaOrdersError as error:
                self._tell(replace(self.report, trouble=str(error)))
            except Exception as error:  # a defect of ours must not leave a page that looks alive
                _log.exception("the report failed, and is made anew")
                self._tell(replace(self.report, trouble=f"the report failed, and is made anew: {error}"))
            self._ended.wait(EVERY_SECONDS)

    def _follow(self, reporter: Reporter) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self._tell(reporter.refresh(int(time.time() * 1000)))
            self._ended.wait(max(0.1, EVERY_SECONDS - (time.monotonic() - began)))

    def _tell(self, report: Report) -> None:
        self.report, self._told_at = report, time.monotonic()
        self.version += 1
