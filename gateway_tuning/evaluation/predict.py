"""Answers of OpenAI-compatible endpoints to a list of questions, kept nowhere; `running` keeps those of an evaluation."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway_tuning.datasets.example import Turn
from gateway_tuning.evaluation.running.asking import Prediction, ask, open_clients
from gateway_tuning.evaluation.running.pacing import Pace
from gateway_tuning.registry.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Request:
    endpoint: Endpoint
    conversation: Sequence[Turn]


async def predict_each(
    requests: Sequence[Request],
    *,
    concurrency: int = 4,
    timeout_s: float = 60.0,
    max_tokens: int = 96,
    seed: int = 0,
) -> list[Prediction]:
    """Send the requests in their order at temperature 0, at most `concurrency` of them at a time.

    Raises:
        MissingExtraError: the openai package is not installed.
        ConfigurationError: the environment variable with an endpoint's key is not set.
    """
    pace = Pace(concurrency)
    async with open_clients((request.endpoint for request in requests), timeout_s=timeout_s) as client_of:

        async def answer(request: Request) -> Prediction:
            return await ask(
                client_of(request.endpoint),
                request.endpoint,
                request.conversation,
                pace=pace,
                max_tokens=max_tokens,
                seed=seed,
            )

        return await asyncio.gather(*map(answer, requests))


async def predict(
    endpoint: Endpoint, conversations: Sequence[Sequence[Turn]], **options: Any
) -> list[Prediction]:
    """One prediction a conversation, in order; see `predict_each`."""
    return await predict_each([Request(endpoint, conversation) for conversation in conversations], **options)


def predict_sync(
    endpoint: Endpoint, conversations: Sequence[Sequence[Turn]], **options: Any
) -> list[Prediction]:
    """`predict` for code without an event loop."""
    return asyncio.run(predict(endpoint, conversations, **options))
