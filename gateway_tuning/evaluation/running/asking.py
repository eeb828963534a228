"""One question to an OpenAI-compatible endpoint. An answer that does not come is a result with its reason."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gateway_tuning.datasets.example import Turn
from gateway_tuning.datasets.formats.messages import message
from gateway_tuning.errors import ConfigurationError, missing_extra
from gateway_tuning.evaluation.running.pacing import Pace, retry_after_s
from gateway_tuning.registry.endpoint import Endpoint

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

ATTEMPTS = 3  # where a server is away, breaks or keeps one waiting
REFUSED_ATTEMPTS = 8  # where it has too much to do: as often as it takes to come down from many slots to one
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
_LONGEST_ERROR = 300
_OVERLOADED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529}  # the last is Anthropic's
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT}
_SPENT = "insufficient_quota"  # OpenAI's 429 that no waiting helps


@dataclass(frozen=True, slots=True)
class Prediction:
    """Either `text` or `error` is set; token counts are the server's, if any.

    `latency_ms` is that of all attempts together, without the pauses between them. `unavailable`: nobody answered, so
    that another run may have more luck; else the error is the answer to this question.
    """

    text: str | None
    error: str | None
    latency_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None
    unavailable: bool = False


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    attempts: int  # after which it stands
    is_overload: bool = False
    retry_after_s: float | None = None


@asynccontextmanager
async def open_clients(
    endpoints: Iterable[Endpoint], *, timeout_s: float
) -> AsyncIterator[Callable[[Endpoint], "AsyncOpenAI"]]:
    """A client for each address, whose connections are kept until the block ends.

    Raises:
        MissingExtraError: the openai package is not installed.
        ConfigurationError: the environment variable with an endpoint's key is not set.
    """
    async with AsyncExitStack() as stack:
        clients: dict[tuple[str, str | None], AsyncOpenAI] = {}
        for endpoint in endpoints:
            address = (endpoint.base_url, endpoint.api_key_env)
            if address not in clients:
                clients[address] = await stack.enter_async_context(open_client(endpoint, timeout_s))
        yield lambda endpoint: clients[endpoint.base_url, endpoint.api_key_env]


async def ask(
    client: "AsyncOpenAI",
    endpoint: Endpoint,
    conversation: Sequence[Turn],
    *,
    pace: Pace,
    max_tokens: int,
    seed: int,
    tools: Sequence[str] = (),
) -> Prediction:
    """At temperature 0, each attempt in a slot of `pace`. A server that has too many requests slows all of them down.

    `tools` are definitions as an example has them. Who calls one in place of an answer has not answered.
    """
    asked = {
        "model": endpoint.model,
        "messages": [message(turn) for turn in conversation],
        **({"tools": [json.loads(tool) for tool in tools]} if tools else {}),
        "max_tokens": max_tokens,
        "seed": seed,
        "temperature": 0.0,
        **endpoint.extra_body,
    }
    spent, attempts = 0.0, 0
    while True:
        async with pace.slot():
            start = time.perf_counter()
            found = await _attempt(client, asked)
            spent += (time.perf_counter() - start) * 1000
            attempts += 1
            if isinstance(found, _Failure) and found.is_overload:
                pace.slow_down(found.retry_after_s)
        if isinstance(found, Prediction):
            return replace(found, latency_ms=spent)
        if attempts >= found.attempts:
            return _failed(found.reason, unavailable=True, latency_ms=spent)
        if found.retry_after_s is None or not found.is_overload:  # else no slot is free until then
            await asyncio.sleep(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempts - 1)))


async def _attempt(client: "AsyncOpenAI", asked: Mapping[str, Any]) -> Prediction | _Failure:
    from openai import APIConnectionError, APIStatusError, OpenAIError

    try:
        # Typing what is sent and what comes would take a third of the time, and check nothing.
        reply = await client.post("/chat/completions", cast_to=object, body=asked)
    except APIConnectionError as error:
        return _Failure(_told(error), ATTEMPTS)
    except APIStatusError as error:
        return _refused(error)
    except OpenAIError as error:
        return _failed(_told(error))
    except ValueError as error:  # the SDK lets broken JSON through
        return _Failure(f"The reply is no JSON: {error}"[:_LONGEST_ERROR], ATTEMPTS)
    return _read(reply)


def _refused(error: "APIStatusError") -> Prediction | _Failure:
    status, reason = error.status_code, _told(error)
    if status == HTTPStatus.TOO_MANY_REQUESTS and error.code == _SPENT:
        return _failed(reason, unavailable=True)
    if status in _OVERLOADED:
        wait = retry_after_s(error.response.headers, datetime.now(UTC))
        return _Failure(reason, REFUSED_ATTEMPTS, is_overload=True, retry_after_s=wait)
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _Failure(reason, ATTEMPTS)
    return _failed(reason)


def _read(reply: Any) -> Prediction:
    choices = _of(reply, "choices")
    if not isinstance(choices, list) or not choices:
        return _failed("The answer has no text (no choice)")
    usage = _of(reply, "usage")
    tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    text = _of(_of(choices[0], "message"), "content")
    if isinstance(text, str):
        return Prediction(_storable(text), None, 0.0, *tokens)
    finish = _of(choices[0], "finish_reason") or "no reason given"
    return Prediction(None, _storable(f"The answer has no text ({finish})"), 0.0, *tokens)


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _count(usage: Any, name: str) -> int | None:
    value = _of(usage, name)
    return value if isinstance(value, int) else None


def _storable(text: str) -> str:
    """Without what no database keeps: PostgreSQL no NUL, neither of them half a surrogate pair."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _failed(reason: str, *, unavailable: bool = False, latency_ms: float = 0.0) -> Prediction:
    return Prediction(None, _storable(reason), latency_ms, None, None, unavailable)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]


def open_client(endpoint: Endpoint, timeout_s: float) -> "AsyncOpenAI":
    """Without retries of its own: those are ours, so that each is paced, and counted where it is paid for.

    Raises:
        MissingExtraError: the openai package is not installed.
        ConfigurationError: the environment variable with the key is not set.
    """
    try:
        from openai import AsyncOpenAI
    except ImportError:
        raise missing_extra("openai", "openai") from None
    key = "none"  # local servers ask for none, the SDK does
    if endpoint.api_key_env is not None:
        key = os.environ.get(endpoint.api_key_env, "")
        if not key:
            raise ConfigurationError(
                f"Endpoint {endpoint.base_url} takes its key from the environment variable "
                f"{endpoint.api_key_env}, which is not set"
            )
    return AsyncOpenAI(base_url=endpoint.base_url, api_key=key, timeout=timeout_s, max_retries=0)
