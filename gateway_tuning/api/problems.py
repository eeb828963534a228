"""Every error as RFC 9457 `application/problem+json`: what happened and what to do, never how it looks inside."""

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    ErasedError,
    GatewayTuningError,
    InputFileError,
    NotFoundError,
    OrchestratorError,
    StoreBusyError,
    UnacceptableError,
)

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = 2
_LONGEST_FIELD = 100
_log = logging.getLogger("gateway_tuning.api")


class FieldError(BaseModel):
    field: str = Field(description="Where in the request, joined by dots", examples=["body.rating"])
    message: str = Field(examples=["Input should be a valid number"])


class Problem(BaseModel):
    """RFC 9457, with the request's id and the fields at fault."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "No run r1; list runs to see all",
                    "request_id": "4b0a6bb6e6a04f2e9d1fbd8a3a2c1f0e",
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldError] | None = None


class ProblemError(HTTPException):
    """Raise where a request cannot be answered and no error of ours says why."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)


_DESCRIPTIONS = {
    400: "The request cannot be read",
    401: "No valid credentials",
    403: "The role does not grant the permission",
    404: "No such object in this tenant",
    409: "The object is in another state, or the idempotency key was used for another request",
    410: "The object held data of an erased person",
    413: "The body is too large",
    415: "The body is of another content type",
    422: "The request does not fit its schema",
    429: "Too many requests; Retry-After says when to go on",
    500: "A defect of the service; its log holds the request id",
    503: "A part that is needed does not answer; Retry-After says when to try again",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: problems it can answer with. What every route can, `allow` documents."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted(statuses):
        described[status] = {
            "description": _DESCRIPTIONS.get(status, HTTPStatus(status).phrase),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in {429, 503}:
            described[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
            }
        if status == HTTPStatus.UNAUTHORIZED:
            described[status]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return described


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[FieldError] | None = None,
) -> Response:
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=request.scope.get("state", {}).get("request_id"),
        errors=errors,
    )
    content = body.model_dump_json(exclude_none=True)
    return Response(content, status, headers=dict(headers) if headers else None, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(GatewayTuningError, _our_error)
    for kind in (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError):
        app.add_exception_handler(kind, _store_away)
    app.add_exception_handler(sa.exc.DataError, _not_storable)


# Looked up along the class's bases: the nearest one counts.
_STATUSES: dict[type[Exception], int] = {
    NotFoundError: 404,
    ConflictError: 409,
    ErasedError: 410,
    ConfigurationError: 422,
    InputFileError: 422,
    OrchestratorError: 503,
    StoreBusyError: 503,
    UnacceptableError: 409,
}


async def _our_error(request: Request, error: Exception) -> Response:
    status = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), None)
    if status is None:  # a provider, a checksum, an anonymizer: the operator's business, not the caller's
        log_defect(request.scope, error)
        return problem(request, 500, "The request failed; the service's log holds its id")
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return problem(request, status, str(error), headers=headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    detail = str(error.detail)
    if not isinstance(error, ProblemError):  # raised by the framework
        detail = {
            400: "The body cannot be read; send JSON in UTF-8",
            404: "Nothing is served at this path; /api/model-training/openapi.json lists what is",
            405: "This path does not serve this method; the header Allow lists those it does",
        }.get(error.status_code, detail)
    return problem(request, error.status_code, detail, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    # Pydantic's messages speak of what was expected; what was given may be a user's text and stays out.
    errors = [
        FieldError(field=".".join(str(part) for part in item["loc"])[:_LONGEST_FIELD], message=item["msg"])
        for item in error.errors()
    ]
    return problem(
        request, 422, "The request does not fit its schema; `errors` names the fields", errors=errors
    )


async def _store_away(request: Request, error: Exception) -> Response:
    log_defect(request.scope, error)
    return problem(
        request,
        503,
        "The metadata store does not answer; try again",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )


async def _not_storable(request: Request, _error: Exception) -> Response:
    return problem(
        request, 422, "The request holds a value that the store cannot keep, such as a NUL character"
    )


def log_defect(scope: Mapping[str, Any], error: BaseException) -> None:
    """Where it happened, without the message: that may quote a user's text."""
    frames = [
        f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    _log.error(
        "%s in request %s: %s",
        type(error).__name__,
        scope.get("state", {}).get("request_id"),
        " > ".join(frames[-8:]),
    )
