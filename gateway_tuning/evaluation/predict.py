"""Asks OpenAI-compatible endpoints for answers. An answer that does not come is a result with its reason."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway_tuning.datasets.example import Turn
from gateway_tuning.errors import ConfigurationError, missing_extra
from gateway_tuning.registry.endpoint import Endpoint

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_RETRIES = 2  # by the SDK, with back-off, on connection errors, 408, 409, 429 and 5xx
_LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Request:
    endpoint: Endpoint
    conversation: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Either `text` or `error` is set. `latency_ms` includes retries; token counts are the server's, if any."""

    text: str | None
    error: str | None
    latency_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None


async def predict(
    endpoint: Endpoint,
    conversations: Sequence[Sequence[Turn]],
    *,
    concurrency: int = 4,
    timeout_s: float = 60.0,
    max_tokens: int = 96,
    seed: int = 0,
) -> list[Prediction]:
    """One prediction a conversation, in order; see `predict_each`."""
    return await predict_each(
        [Request(endpoint, conversation) for conversation in conversations],
        concurrency=concurrency,
        timeout_s=timeout_s,
        max_tokens=max_tokens,
        seed=seed,
    )


async def predict_each(
    requests: Sequence[Request],
    *,
    concurrency: int = 4,
    timeout_s: float = 60.0,
    max_tokens: int = 96,
    seed: int = 0,
) -> list[Prediction]:
    """Send the requests in their order at temperature 0, `concurrency` of them at a time.

    Raises:
        MissingExtraError: the openai package is not installed.
        ConfigurationError: the environment variable with an endpoint's key is not set.
    """
    slots = asyncio.Semaphore(concurrency)
    options = {"max_tokens": max_tokens, "seed": seed, "temperature": 0.0}
    async with AsyncExitStack() as stack:
        clients: dict[tuple[str, str | None], AsyncOpenAI] = {}
        for request in requests:
            address = (request.endpoint.base_url, request.endpoint.api_key_env)
            if address not in clients:
                clients[address] = await stack.enter_async_context(_client(request.endpoint, timeout_s))

        async def answer(request: Request) -> Prediction:
            client = clients[request.endpoint.base_url, request.endpoint.api_key_env]
            async with slots:
                return await _answer(client, request, options)

        return await asyncio.gather(*map(answer, requests))


def predict_sync(
    endpoint: Endpoint, conversations: Sequence[Sequence[Turn]], **options: Any
) -> list[Prediction]:
    """`predict` for code without an event loop."""
    return asyncio.run(predict(endpoint, conversations, **options))


async def _answer(client: "AsyncOpenAI", request: Request, options: dict[str, Any]) -> Prediction:
    from openai import OpenAIError

    messages: Any = [{"role": turn.role, "content": turn.content} for turn in request.conversation]
    start = time.perf_counter()
    try:
        completion = await client.chat.completions.create(
            model=request.endpoint.model, messages=messages, extra_body=request.endpoint.extra_body, **options
        )
    except OpenAIError as error:
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        return Prediction(None, reason, _milliseconds_since(start), None, None)
    latency = _milliseconds_since(start)
    usage = completion.usage
    tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
    choice = completion.choices[0] if completion.choices else None
    if choice is None or choice.message.content is None:
        finish = choice.finish_reason if choice else "no choice"
        return Prediction(None, f"The answer has no text ({finish})", latency, *tokens)
    return Prediction(choice.message.content, None, latency, *tokens)


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000


def _client(endpoint: Endpoint, timeout_s: float) -> "AsyncOpenAI":
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
    return AsyncOpenAI(base_url=endpoint.base_url, api_key=key, timeout=timeout_s, max_retries=_RETRIES)
