"""Errors as RFC 9457 has them: application/problem+json, with what to do about it in ``detail``."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from kafka_orders.domain.errors import (
    BrokerError,
    BusyError,
    KafkaOrdersError,
    NoBrokerError,
    NotFoundError,
    OutageError,
    RefusedError,
    SettingsError,
)

_log = logging.getLogger("kafka_orders.web")
MEDIA_TYPE = "application/problem+json"
_STATUS: list[tuple[type[KafkaOrdersError], int]] = [
    (NotFoundError, 404), (SettingsError, 422), (RefusedError, 409), (NoBrokerError, 503), (BrokerError, 503),
    (OutageError, 503),
    (BusyError, 503),
]  # fmt: skip


class Problem(BaseModel):
    """What went wrong, what it means, what to do."""

    type: str = Field("about:blank", description="always about:blank: the title says it")
    title: str = Field(description="the HTTP status in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what happened, for people")


def _body(status: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def problem_bytes(status: int, detail: str) -> bytes:
    """Return a problem's JSON."""
    return json.dumps(_body(status, detail)).encode()


def _response(status: int, detail: str) -> Response:
    return Response(problem_bytes(status, detail), status, media_type=MEDIA_TYPE)


def add_problems(app: FastAPI) -> None:
    """Have every error of an app told as a problem; a defect of ours says no more than that it is one."""

    async def failed(_request: Request, error: Exception) -> Response:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        return _response(status, str(error))

    async def invalid(_request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found[:5])
        return _response(422, said or "the request is not valid")

    async def plain(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        answer = _response(status, str(getattr(error, "detail", "")) or HTTPStatus(status).phrase)
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    async def broken(_request: Request, error: Exception) -> Response:
        _log.error("a request failed", exc_info=error)
        return _response(500, "this server has a defect: the request failed, its log says why")

    async def unchangeable(_request: Request, error: Exception) -> Response:
        return _response(422, str(error))

    app.add_exception_handler(KafkaOrdersError, failed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(ValueError, unchangeable)  # a filter's text is too long, an order does not fit
    app.add_exception_handler(Exception, broken)


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]


def add_end(app: FastAPI, prefix: str) -> None:
    """Answer what is at or under ``prefix`` and no route before serves: the page behind would answer in HTML."""
    known = list(app.router.routes)

    def takes(scope: Scope) -> bool:
        return any(one.matches(scope)[0] is Match.FULL for one in known)

    @app.api_route(prefix, methods=_METHODS, include_in_schema=False)
    @app.api_route(prefix + "/{rest:path}", methods=_METHODS, include_in_schema=False)
    async def nothing(request: Request) -> None:
        allowed = [method for method in _METHODS if takes({**request.scope, "method": method})]
        if allowed:
            raise HTTPException(405, f"this is not done by {request.method}", {"allow": ", ".join(allowed)})
        raise HTTPException(404, "there is no such path; /openapi.json has those there are")


class Unchangeable(ValueError):  # noqa: N818  it is what the order is
    """An order cannot be changed as asked."""


#: What any operation may answer beside its own.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": said, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for code, said in (
        (400, "the body is no JSON"), (401, "a token is needed"), (403, "another origin"),
        (404, "it is not there"), (409, "refused, nothing was changed"),
        (413, "the body is too long"), (421, "another host's name"), (422, "the request is not valid"),
        (503, "the broker does not answer"),
    )
}  # fmt: skip
