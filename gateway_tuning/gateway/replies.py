"""Replies as OpenAI's API words them, so that its clients raise what they always raise."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

_TYPES = {429: "rate_limit_error", 502: "upstream_error", 503: "service_unavailable", 504: "upstream_timeout"}


class RefusedError(Exception):
    """A request that gets an error reply and reaches no model."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


def to_json(content: Any) -> bytes:
    try:
        return orjson.dumps(content)
    except TypeError:
        # ASCII escapes carry any text a model or client may send, lone surrogates too, and numbers of any size.
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(content), status, headers=headers, media_type="application/json")


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    kind = _TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_reply(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return json_reply(error_body(status, code, message), status, headers)
