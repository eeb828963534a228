"""One request to a model's endpoint. Nothing is tried twice: a retry on another arm would spoil the comparison."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from gateway_tuning.registry.endpoint import Endpoint

# The client can mend these itself; all other refusals are between the gateway and the endpoint.
_CLIENTS_OWN = frozenset({400, 413, 422, 429})


class UpstreamError(Exception):
    """The model gave no usable answer. `code` goes into the outcome, `status` and `message` to the client."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def open_session(timeout_s: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # Let go of idle connections before usual servers (5 s) do: a race there looks like a failed answer.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


@asynccontextmanager
async def failures_named() -> AsyncIterator[None]:
    """Turns whatever the network does into an UpstreamError."""
    try:
        yield
    except TimeoutError as error:
        raise UpstreamError(504, "timeout", "The model did not answer in time") from error
    except aiohttp.ClientConnectorError as error:
        raise UpstreamError(502, "unreachable", "The model's endpoint cannot be reached") from error
    except aiohttp.ClientError as error:
        raise UpstreamError(502, "connection_lost", "The connection to the model broke") from error


async def post_chat(
    session: aiohttp.ClientSession, endpoint: Endpoint, body: dict[str, Any]
) -> aiohttp.ClientResponse:
    """The open response with status 200; the caller releases it. Raises UpstreamError."""
    headers = {"content-type": "application/json", **_authorization(endpoint)}
    merged = {**body, **endpoint.extra_body, "model": endpoint.model}
    async with failures_named():
        response = await session.post(
            f"{endpoint.base_url}/chat/completions",
            data=json.dumps(merged).encode(),
            headers=headers,
            allow_redirects=False,
        )
        if response.status == 200:  # noqa: PLR2004 - the one status that means an answer
            return response
        async with response:
            raise _refusal(response.status, await response.read())


async def read_answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """A whole chat completion. Raises UpstreamError where it is none."""
    async with failures_named(), response:
        raw = await response.read()
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UpstreamError(502, "invalid_json", "The model's answer is no valid JSON") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list) or not answer["choices"]:
        raise UpstreamError(502, "no_choices", "The model's answer has no choices")
    return answer


def token_counts(usage: Any) -> tuple[int | None, int | None]:
    """Prompt and completion tokens from an answer's `usage`, None where it does not say."""
    usage = usage if isinstance(usage, dict) else {}
    prompt, completion = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    return prompt, completion


def _count(value: Any) -> int | None:
    # The store has 32 bits for it.
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.api_key_env is None:
        return {}
    key = os.environ.get(endpoint.api_key_env)
    if not key:
        raise UpstreamError(
            502,
            "no_api_key",
            f"The gateway lacks the environment variable {endpoint.api_key_env} for this model",
        )
    return {"authorization": f"Bearer {key}"}


def _refusal(status: int, raw: bytes) -> UpstreamError:
    code = f"status_{status}"
    if status not in _CLIENTS_OWN:
        return UpstreamError(502, code, f"The model's endpoint answered with status {status}")
    try:
        message = json.loads(raw)["error"]["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        message = f"The model's endpoint answered with status {status}"
    return UpstreamError(status, code, str(message))
