"""What every request gets: an id, a bound on its body, safe headers, a count and a line in the log."""

import json
import logging
import random
import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_tuning.api.metrics import Metrics
from gateway_tuning.api.problems import ProblemError, log_defect, problem
from gateway_tuning.observability.logs import bound

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_FIRST_REDIRECTION = 300
_access_log = logging.getLogger("gateway_tuning.api.access")


def request_id(scope: Mapping[str, Any]) -> str:
    return str(scope["state"]["request_id"])


def route_template(scope: Mapping[str, Any]) -> str:
    """The route as it was declared, `/x/{id}`: the path itself may name a person."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _is_routine(scope: Mapping[str, Any], status: int) -> bool:
    """A hot path's success is counted; a line for each would cost as much as the call."""
    return getattr(scope.get("route"), "is_hot", False) and status < _FIRST_REDIRECTION


class RequestEnvelope:
    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        id_ = _id_of(scope)
        scope.setdefault("state", {})["request_id"] = id_
        status = 0

        async def send_enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                also = [pair for pair in _HEADERS if pair[0] not in given]
                message["headers"] = [*message["headers"], (b"x-request-id", id_.encode()), *also]
            await send(message)

        try:
            with bound(request=id_):
                await self._run(scope, receive, send_enveloped)
        except ClientDisconnect:
            status = status or 499  # nobody reads an answer
        except Exception as error:
            log_defect(scope, error)
            if status:  # an answer is under way: cutting it off tells that it is not whole
                raise
            detail = "The service failed; its log holds the request's id"
            await problem(Request(scope), 500, detail)(scope, receive, send_enveloped)
        finally:
            seconds = time.perf_counter() - started
            route = route_template(scope)
            self._metrics.answered(scope["method"], route, status, seconds)
            if _access_log.isEnabledFor(logging.INFO) and not _is_routine(scope, status):
                fields = {
                    "method": scope["method"][:16],
                    "route": route,
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "request_id": id_,
                }
                _access_log.info(json.dumps(fields), extra={"fields": fields})

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._max_body_bytes
        length = _header(scope, b"content-length")
        if length is not None and (not length.isdigit() or int(length) > limit):
            error = _too_large(limit)
            reply = problem(Request(scope), error.status_code, error.detail, headers={"connection": "close"})
            await reply(scope, receive, send)
            return
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise _too_large(limit)
            return message

        await self._app(scope, receive_bounded, send)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"The body is longer than {limit} bytes; send less at a time")


def _id_of(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    text = given.decode("latin-1") if given is not None else ""
    return text if _REQUEST_ID.fullmatch(text) else f"{random.getrandbits(128):032x}"


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
