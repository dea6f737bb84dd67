"""The REST API under `/api/v1`: what operators do. Each action is kept in `orders_dlq_status`, with who did it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from kafka_orders.deadletters.edit import Edit, Preview
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.standing import DISCARDED, OPEN, JobRecord, LetterId
from kafka_orders.web.problems import PROBLEMS, Unchangeable
from kafka_orders.web.shapes import (
    Audit,
    ChangeTold,
    EditAsked,
    EditsAsked,
    Filter,
    JobsTold,
    JobTold,
    MarkAsked,
    MarkTold,
    Name,
    NoteAsked,
    PlanTold,
    PreviewTold,
    ReasonAsked,
    ReplayAsked,
    ReplayOptions,
    plain,
)
from kafka_orders.web.tools import Ask, Tools, request_of

IdempotencyKey = Annotated[
    str, Header(max_length=200, pattern=r"^[\x21-\x7e]*$", description="the same job, asked twice")
]
Limit = Annotated[int, Query(ge=1, le=1_000)]
Before = Annotated[str, Query(max_length=100, description="a job's id: those that came before it")]
_ONE = "/dlq/messages/{topic}/{partition}/{offset}"


def acting(tools: Tools) -> APIRouter:
    """Return what operators can do."""
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
    _add_replays(router, tools)
    _add_jobs(router, tools)
    _add_marks(router, tools)
    _add_edits(router, tools)
    return router


def by(request: Request) -> str:
    """Return who asks: the name of the token, else that it was this API."""
    return str(request.state.operator or "api")


def job_told(job: JobRecord) -> JobTold:
    """Return a job as JSON has it."""
    return JobTold.model_validate(
        {name: value for name, value in asdict(job).items() if name in JobTold.model_fields}
    )


def _selected(asked: Filter, *, everything: bool = False) -> Selection:
    wanted = asked.selection(int(time.time() * 1000))
    if wanted.is_everything and not everything:
        raise SettingsError(
            "this filter selects all dead letters; nothing was done. Say which, or everything: true"
        )
    return wanted


def _one(name: LetterId) -> Selection:
    return Selection(ids=(name,))


def _add_replays(router: APIRouter, tools: Tools) -> None:
    @router.post(
        "/dlq/replays",
        tags=["replays"],
        status_code=202,
        response_model=JobTold | PlanTold,
        responses={200: {"model": PlanTold, "description": "a dry run or a prediction: nothing was sent"}},
    )
    def replay(
        asked: ReplayAsked, request: Request, response: Response, idempotency_key: IdempotencyKey = ""
    ) -> JobTold | PlanTold:  # fmt: skip
        """Begin to send dead letters back, or tell what that would do."""
        wanted = _selected(asked.filter, everything=asked.everything)
        if asked.dry_run or asked.predict:
            response.status_code = 200
            return _planned(tools, wanted, asked)
        return _accepted(response, tools.replay(_ask("replay", wanted, asked, request, idempotency_key)))

    @router.post(f"{_ONE}/replay", tags=["replays"], status_code=202)
    def replay_one(
        name: Name, asked: ReplayOptions, request: Request, response: Response,
        idempotency_key: IdempotencyKey = "",
    ) -> JobTold:  # fmt: skip
        """Begin to send one dead letter back."""
        return _accepted(response, tools.replay(_ask("replay", _one(name), asked, request, idempotency_key)))


def _ask(action: str, wanted: Selection, asked: ReplayOptions, request: Request, key: str) -> Ask:
    """Return what is asked for. What was said tells a request from others: an age is another time each time."""
    said = f"{action} {wanted.ids} {json.dumps(asked.model_dump(), sort_keys=True)}"
    return Ask(wanted, asked.options(), asked.reason, by(request), request_of(key, said))


def _accepted(response: Response, job: JobRecord) -> JobTold:
    response.headers["location"] = f"/api/v1/dlq/replays/{job.id}"
    return job_told(job)


def _planned(tools: Tools, wanted: Selection, asked: ReplayAsked) -> PlanTold:
    if not asked.predict:
        found = tools.plan(wanted, asked.options())
        return PlanTold(
            total=found.total, targets=found.targets, errors=found.errors, passed_over=found.passed_over
        )
    found, likely = tools.predict(wanted, asked.options())
    return PlanTold(
        total=found.total, targets=found.targets, errors=found.errors, passed_over=found.passed_over,
        tried=len(found.sample), would_pass=likely.passed, would_fail=likely.failed,
    )  # fmt: skip


def _add_jobs(router: APIRouter, tools: Tools) -> None:
    @router.get("/dlq/replays", tags=["replays"])
    def replays(limit: Limit = 100, before: Before = "") -> JobsTold:
        """Return replays and edits, the newest first, wherever they run."""
        found = [one for one in tools.jobs() if one.action in ("replay", "edit")]
        return JobsTold(jobs=_paged(found, limit, before))

    @router.get("/dlq/replays/{job}", tags=["replays"])
    def one_replay(job: str) -> JobTold:
        """Return how far a job has come."""
        return job_told(tools.one_job(job))

    @router.post("/dlq/replays/{job}/cancel", tags=["replays"])
    def cancel(job: str, request: Request) -> JobTold:
        """Stop a replay, wherever it runs; what was sent is committed."""
        return job_told(tools.cancel(job, by(request)))

    @router.get("/audit", tags=["audit"])
    def audit(limit: Limit = 100, before: Before = "") -> Audit:
        """Return what operators did, the newest first."""
        return Audit(entries=_paged(tools.jobs(), limit, before))


def _paged(jobs: list[JobRecord], limit: int, before: str) -> list[JobTold]:
    """Return a page: names of jobs are in the order of their times."""
    return [job_told(one) for one in jobs if not before or one.id < before][:limit]


def _add_marks(router: APIRouter, tools: Tools) -> None:
    def marked(wanted: Selection, status: str, reason: str, request: Request) -> MarkTold:
        job, passed_over = tools.mark(Ask(wanted, reason=reason, by=by(request)), status)
        return MarkTold(job=job_told(job), marked=job.done, passed_over=dict(passed_over))

    def needed(reason: str) -> str:
        if not reason.strip():
            raise SettingsError("a dead letter is given up for a reason; nothing was changed. Say it as reason")
        return reason

    @router.post("/dlq/discards", tags=["dead letters"])
    def discard(asked: MarkAsked, request: Request) -> MarkTold:
        """Give dead letters up, for a reason."""
        return marked(_selected(asked.filter), DISCARDED, needed(asked.reason), request)

    @router.post("/dlq/restores", tags=["dead letters"])
    def restore(asked: MarkAsked, request: Request) -> MarkTold:
        """Open discarded dead letters again."""
        return marked(_selected(asked.filter), OPEN, asked.reason, request)

    @router.post(f"{_ONE}/discard", tags=["dead letters"])
    def discard_one(name: Name, asked: ReasonAsked, request: Request) -> MarkTold:
        """Give one dead letter up, for a reason."""
        return marked(_one(name), DISCARDED, needed(asked.reason), request)

    @router.post(f"{_ONE}/restore", tags=["dead letters"])
    def restore_one(name: Name, asked: ReasonAsked, request: Request) -> MarkTold:
        """Open one discarded dead letter again."""
        return marked(_one(name), OPEN, asked.reason, request)

    @router.put("/dlq/groups/{fingerprint}/note", tags=["dead letters"], status_code=204)
    def note(fingerprint: str, asked: NoteAsked, request: Request) -> None:
        """Keep a note about a group of dead letters."""
        tools.note(fingerprint, asked.text, by(request))


def _add_edits(router: APIRouter, tools: Tools) -> None:
    def previewed(wanted: Selection, work: Edit, asked: EditAsked) -> PreviewTold:
        return preview_told(tools.preview(wanted, work, asked.options()))

    @router.post(f"{_ONE}/edit-preview", tags=["edits"])
    def preview_one(name: Name, asked: EditAsked) -> PreviewTold:
        """Tell what a change would make of one order, by field and by byte; nothing is sent."""
        return previewed(_one(name), _work(tools, asked), asked)

    @router.post(f"{_ONE}/edit-replay", tags=["edits"], status_code=202)
    def edit_one(
        name: Name, asked: EditAsked, request: Request, response: Response,
        idempotency_key: IdempotencyKey = "",
    ) -> JobTold:  # fmt: skip
        """Begin to send one order back changed; the dead letter stays as it is."""
        ask = _ask("edit", _one(name), asked, request, idempotency_key)
        return _sent(tools, ask, _work(tools, asked), response)

    @router.post(
        "/dlq/edits",
        tags=["edits"],
        status_code=202,
        response_model=JobTold | PreviewTold,
        responses={200: {"model": PreviewTold, "description": "a dry run: nothing was sent"}},
    )
    def edit(
        asked: EditsAsked, request: Request, response: Response, idempotency_key: IdempotencyKey = ""
    ) -> JobTold | PreviewTold:  # fmt: skip
        """Begin to send all selected orders back changed, or tell what would change."""
        wanted, work = _selected(asked.filter), _work(tools, asked, one=False)
        if asked.dry_run:
            response.status_code = 200
            return previewed(wanted, work, asked)
        return _sent(tools, _ask("edit", wanted, asked, request, idempotency_key), work, response)


def _sent(tools: Tools, ask: Ask, work: Edit, response: Response) -> JobTold:
    preview = tools.preview(ask.wanted, work, ask.options)
    if not preview.changing:
        why = "; ".join(f"{count}: {why}" for why, count in preview.refused.items())
        raise Unchangeable(f"nothing would change, so nothing is sent ({why or 'nothing can be replayed'})")
    return _accepted(response, tools.edit(ask, work))


def _work(tools: Tools, asked: EditAsked, *, one: bool = True) -> Edit:
    if (asked.order is None) == (not asked.set):
        raise SettingsError("say either set or order")
    if asked.order is not None and not one:
        raise SettingsError("a whole order takes the place of one dead letter's, not of many; say set")
    return tools.editing(list(asked.set), asked.order)


def preview_told(found: Preview) -> PreviewTold:
    """Return a preview as JSON has it."""
    samples = [
        ChangeTold(
            id=str(name), before=None if one.before is None else plain(one.before), after=plain(one.after),
            fields=one.fields(), bytes=one.bytes(),
        )
        for name, one in found.samples
    ]  # fmt: skip
    return PreviewTold(changing=found.changing, refused=dict(found.refused), samples=samples)
