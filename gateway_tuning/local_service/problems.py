"""Every error in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

import logging
import traceback
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from gateway_tuning.errors import GatewayTuningError, NotFoundError, ServingError

_RETRY_AFTER_S = 1
_log = logging.getLogger("gateway_tuning.local_service")


class RefusedError(Exception):
    """A request that is answered with an error. Stays within the service: its routes raise it, `install` answers."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


def body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, Any]]:
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def reply(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Response:
    headers = {"retry-after": str(_RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(body(status, message, param=param, code=code), status, headers=headers)


def install(app: FastAPI) -> None:
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(GatewayTuningError, _our_error)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for this class
    return reply(error.status, error.message, param=error.param, code=error.code)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    # What was given may be a user's text; pydantic's messages say what was expected alone.
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    told = str(first["msg"]).removeprefix("Value error, ")
    return reply(400, f"{param or 'The request'}: {told}", param=param)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if error.status_code == HTTPStatus.NOT_FOUND:
        return reply(
            404, f"Unknown request URL: {request.method} {request.url.path[:200]}", code="unknown_url"
        )
    return reply(error.status_code, str(error.detail))


async def _our_error(_request: Request, error: Exception) -> Response:
    if isinstance(error, NotFoundError):
        return reply(404, str(error))
    log_defect(error)
    if isinstance(error, ServingError):
        return reply(
            503, "The model's server did not start or broke off; try again, or read the service's log"
        )
    return defect()


def defect() -> Response:
    return reply(500, "The service failed; its log says where")


def log_defect(error: BaseException) -> None:
    """Where it happened; what the error says only if it is one of ours: others may quote a user's text."""
    frames = [
        f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    told = f" ({error})" if isinstance(error, GatewayTuningError) else ""
    _log.error("%s%s: %s", type(error).__name__, told, " > ".join(frames[-8:]))
