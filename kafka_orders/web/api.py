"""The REST API under `/api/v1`: what is. What operators do is in ``web/actions.py``.

Handlers that read Kafka are plain functions: FastAPI runs them on threads of their own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from kafka_orders.deadletters.telling import journey_told, letter_row
from kafka_orders.report.live import Live
from kafka_orders.report.model import Average, GroupState, LetterGroup, PartitionLag, Report, Sample, Topic
from kafka_orders.web.problems import PROBLEMS
from kafka_orders.web.shapes import Filter, Health, LetterPage, LetterTold, Name, Status, Text, plain
from kafka_orders.web.tools import Tools

#: Between looks for a newer report, and the longest silence of a stream of events, in seconds.
_LOOK_SECONDS = 0.25
_SILENT_SECONDS = 15.0

Topics = dict[str, list[Topic] | list[GroupState]]


def told(report: Report) -> dict[str, Any]:
    """Return a report as JSON has it, without its history, which has a path of its own."""
    found = asdict(replace(report, history=()))  # copied deeply, so not with what is not told
    del found["history"]
    return found


def health_of(live: Live) -> APIRouter:
    """Return the health checks of a process that keeps a report."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live")
    async def alive() -> Health:
        """Say that this process lives; on no thread, since those may all be waiting for Kafka."""
        return Health(status="ok")

    @router.get("/ready", responses={503: {"model": Health, "description": "not yet, or the broker is away"}})
    async def ready(response: Response) -> Health:
        """Say whether the broker answers and all topics have been read."""
        if live.ready:
            return Health(status="ok")
        response.status_code = 503
        return Health(status="not ready", trouble=live.trouble)

    return router


def reading(live: Live, tools: Tools) -> APIRouter:
    """Return what can be read."""
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
    _add_report(router, live)
    _add_letters(router, live, tools)
    return router


def _add_report(router: APIRouter, live: Live) -> None:
    @router.get("/stats", tags=["report"], response_model=Report, response_model_exclude={"history"})
    def stats() -> Report:
        """Return the whole report: flow, averages, lag, retries, dead letters, groups, topics, latency."""
        return live.report

    @router.get("/averages", tags=["report"])
    def averages() -> dict[str, Average | list[Average]]:
        """Return the running averages: of all, and of each of the products with the most orders."""
        return {"overall": live.report.overall, "products": list(live.report.products)}

    @router.get("/averages/history", tags=["report"])
    def history() -> list[Sample]:
        """Return how the averages came about, the oldest sample first."""
        return list(live.report.history)

    @router.get("/lag", tags=["report"])
    def lag() -> list[PartitionLag]:
        """Return what each group has before it, partition by partition."""
        return list(live.report.lag)

    @router.get("/topics", tags=["report"])
    def topics() -> Topics:
        """Return the topics and the consumer groups."""
        return {"topics": list(live.report.topics), "groups": list(live.report.groups)}

    newest = _Told(live)

    @router.get(
        "/events",
        tags=["report"],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "reports, one a second"}},
    )
    async def events() -> StreamingResponse:  # fmt: skip
        """Stream the report as server-sent events, each time it is renewed."""
        return StreamingResponse(_events(newest), media_type="text/event-stream")


class _Told:
    """The report as JSON, made once for all who listen to it."""

    def __init__(self, live: Live) -> None:
        self._live, self._version, self._text = live, -1, ""

    def newest(self) -> tuple[int, str]:
        """Return the newest version and its text."""
        version = self._live.version
        if version != self._version:
            self._version, self._text = version, json.dumps(told(self._live.report))
        return version, self._text


async def _events(newest: _Told) -> AsyncIterator[str]:
    seen, said_at = -1, time.monotonic()
    while True:
        version, text = newest.newest()
        if version != seen:
            seen, said_at = version, time.monotonic()
            yield f"id: {seen}\nevent: report\ndata: {text}\n\n"
        elif time.monotonic() - said_at > _SILENT_SECONDS:
            said_at = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(_LOOK_SECONDS)


def _add_letters(router: APIRouter, live: Live, tools: Tools) -> None:
    @router.get("/dlq/groups", tags=["dead letters"])
    def groups() -> list[LetterGroup]:
        """Return what dead letters have in common, the largest group first."""
        return list(live.report.letters.groups)

    @router.get("/dlq/messages", tags=["dead letters"])
    def messages(  # noqa: PLR0917  they are query parameters
        group: Annotated[list[Text] | None, Query(max_length=10)] = None,  # an address has its limits
        status: Annotated[list[Status] | None, Query(max_length=5)] = None,
        header: Annotated[list[Text] | None, Query(max_length=10, description="name=value")] = None,
        error_class: Text = "", q: Text = "", key: Text = "", product: Text = "",
        since: Text = "", until: Text = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: Annotated[str, Query(max_length=10_000)] = "",
    ) -> LetterPage:  # fmt: skip
        """Return dead letters page by page, the newest first."""
        asked = Filter.model_validate({
            "groups": group or [], "statuses": status or [], "headers": header or [], "error_class": error_class,
            "match": q, "key": key, "product": product, "since": since, "until": until,
        })  # fmt: skip
        found, queue = tools.page(asked.selection(int(time.time() * 1000)), limit, cursor)
        rows = [letter_row(one, queue) for one in found.letters]
        return LetterPage.model_validate({
            "letters": rows, "cursor": found.cursor or None, "scan_complete": found.scan_complete,
            "looked_at": found.looked_at,
        })  # fmt: skip

    @router.get("/dlq/messages/{topic}/{partition}/{offset}", tags=["dead letters"])
    def message(name: Name) -> LetterTold:
        """Return all there is to know about a dead letter."""
        return LetterTold.model_validate(plain(journey_told(tools.show(name))))
