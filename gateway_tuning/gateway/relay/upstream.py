"""One request to a model's endpoint. Nothing is tried twice here: that is decided where the arm is known."""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, NoReturn

import aiohttp
import orjson
from aiohttp.payload import BytesPayload
from yarl import URL

from gateway_tuning.gateway.replies import to_json
from gateway_tuning.registry.endpoint import Endpoint

# The client can mend these itself; all other refusals are between the gateway and the endpoint.
CLIENTS_OWN = frozenset({400, 413, 422, 429})
ANSWER_LIMIT = 32 << 20  # bytes of one whole answer
_JSON = "application/json"
# Packing and unpacking texts of this length costs more time than it saves.
_ACCEPTED = {"accept": "*/*", "accept-encoding": "identity"}


class UpstreamError(Exception):
    """The model gave no usable answer. `code` goes into the outcome, `status` and `message` to the client."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def clients_own(self) -> bool:
        """Another model would refuse the request too, or the client is to come back later."""
        return self.status in CLIENTS_OWN


def open_session(timeout_s: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # Let go of idle connections before usual servers (5 s) do: a race there looks like a failed answer.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0, ttl_dns_cache=30),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent",),
    )


class _Naming:
    __slots__ = ()

    async def __aenter__(self) -> None:
        return

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise UpstreamError(504, "timeout", "The model did not answer in time") from error
        if isinstance(error, aiohttp.ClientConnectorError):
            raise UpstreamError(502, "unreachable", "The model's endpoint cannot be reached") from error
        if isinstance(error, aiohttp.ClientError | OSError):
            raise UpstreamError(502, "connection_lost", "The connection to the model broke") from error


_NAMING = _Naming()


def failures_named() -> _Naming:
    """Turns whatever the network does inside into an UpstreamError."""
    return _NAMING


async def post_chat(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    body: Mapping[str, Any],
    *,
    path: str = "/chat/completions",
    timeout_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> aiohttp.ClientResponse:
    """The open response with status 200; the caller releases it. Raises UpstreamError.

    `path` follows the endpoint's address. `timeout_s` bounds the whole answer, its body included; default is the
    session's. `headers` go along with our own.
    """
    merged = {**body, **endpoint.extra_body, "model": endpoint.model}
    if merged.get("stream_options", merged) is None:  # an endpoint that knows no such options
        del merged["stream_options"]
    sent = {**_ACCEPTED, **(headers or {}), **_authorization(endpoint)}
    options: dict[str, Any] = {} if timeout_s is None else {"timeout": aiohttp.ClientTimeout(total=timeout_s)}
    try:
        raw = to_json(merged)
    except (RecursionError, ValueError) as error:  # the client's own, and of no arm a failure
        raise UpstreamError(
            400, "status_400", "The request is nested too deeply or has a number too large"
        ) from error
    async with failures_named():
        response = await session.post(
            _address(endpoint.base_url, path),
            data=BytesPayload(raw, content_type=_JSON),
            headers=sent,
            allow_redirects=False,
            **options,
        )
        if response.status == 200:  # noqa: PLR2004 - the one status that means an answer
            return response
        async with response:
            raise _refusal(response.status, await read_whole(response))


async def read_answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """A whole chat completion. Raises UpstreamError where it is none."""
    async with failures_named(), response:
        raw = await read_whole(response)
    try:
        answer = decode(raw)
    except (ValueError, RecursionError) as error:
        raise UpstreamError(502, "invalid_json", "The model's answer is no valid JSON") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list) or not answer["choices"]:
        raise UpstreamError(502, "no_choices", "The model's answer has no choices")
    return answer


async def read_whole(response: aiohttp.ClientResponse) -> bytes:
    """Raises UpstreamError past ANSWER_LIMIT, unpacked: one endpoint must not take the memory of all."""
    parts = []
    left = ANSWER_LIMIT
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            raise UpstreamError(502, "answer_too_large", f"The model's answer exceeds {ANSWER_LIMIT} bytes")
        parts.append(part)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _address(base_url: str, path: str) -> URL:
    return URL(base_url + path)


def decode(raw: bytes) -> Any:
    """JSON that models write, lone surrogates and deep nesting included. Raises ValueError or RecursionError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.loads(raw, parse_constant=_refuse_constant)


def token_counts(usage: Any) -> tuple[int | None, int | None]:
    """Prompt and completion tokens from an answer's `usage`, None where it does not say."""
    if not isinstance(usage, dict):
        return None, None
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def error_event(error: Any) -> UpstreamError:
    """What a stream that begins with an error means: some servers find a fault of the client only then."""
    status = error.get("code") if isinstance(error, dict) else None
    if isinstance(status, int) and status in CLIENTS_OWN:
        return UpstreamError(status, f"status_{status}", str(error.get("message")))
    return UpstreamError(502, "error_event", "The model's endpoint began its stream with an error")


def _count(value: Any) -> int | None:
    # The store has 32 bits for it.
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.api_key_env is None:
        return {}
    key = os.environ.get(endpoint.api_key_env, "").strip()  # one read from a file ends in a line break
    if not key:
        raise UpstreamError(
            502,
            "no_api_key",
            f"The gateway lacks the environment variable {endpoint.api_key_env} for this model",
        )
    return {"authorization": f"Bearer {key}"}


def _refusal(status: int, raw: bytes) -> UpstreamError:
    code = f"status_{status}"
    if status not in CLIENTS_OWN:
        return UpstreamError(502, code, f"The model's endpoint answered with status {status}")
    try:
        message = json.loads(raw)["error"]["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        message = f"The model's endpoint answered with status {status}"
    return UpstreamError(status, code, str(message))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
