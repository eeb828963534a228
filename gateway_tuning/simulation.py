"""Simulated users. They replay prompts through the real gateway to the real models and rate the answers.

Nothing here is a person: every request carries the header that marks its outcome as simulated.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway_tuning.errors import missing_extra

SIMULATED_HEADERS = {"x-gateway-simulated": "1"}

Rate = Callable[[str, str], float | None]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a simulated user, who would have liked `preferred_answer` best."""

    user: str
    messages: Sequence[Mapping[str, str]]
    preferred_answer: str


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """`requests` includes the failed ones. `versions` counts answers by model version."""

    requests: int
    errors: int
    ratings: int
    seconds: float
    versions: Mapping[str, int]


async def simulate_users(
    base_url: str,
    model: str,
    visits: Sequence[Visit],
    *,
    rate: Rate,
    concurrency: int,
    max_tokens: int,
    stop: Callable[[], bool] | None = None,
) -> SimulationReport:
    """Send each visit once, at most `concurrency` at a time; no visit begins after `stop` says so.

    `base_url` is the gateway's, ending in `/v1`. `rate` turns an answer and the preferred one into a score in
    [-1, 1], or None for a user who gives none.
    """
    try:
        from openai import AsyncOpenAI, OpenAIError
    except ImportError as error:
        raise missing_extra("openai", "openai") from error

    counts: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    waiting = iter(visits)
    started = time.monotonic()

    async def visit(client: AsyncOpenAI, one: Visit) -> None:
        counts["requests"] += 1
        try:
            raw = await client.chat.completions.with_raw_response.create(
                model=model, messages=_messages(one), max_tokens=max_tokens, user=one.user, temperature=0
            )
            answer = raw.parse().choices[0].message.content or ""
            versions[raw.headers["x-gateway-model-version"]] += 1
            score = rate(answer, one.preferred_answer)
            if score is not None:
                path = f"/answers/{raw.headers['x-gateway-answer-id']}/rating"
                await client.post(path, body={"score": score}, cast_to=object)
                counts["ratings"] += 1
        except OpenAIError:
            counts["errors"] += 1

    async def worker(client: AsyncOpenAI) -> None:
        for one in waiting:
            if stop is not None and stop():
                return
            await visit(client, one)

    # A retry would make two requests of one visit.
    async with AsyncOpenAI(
        base_url=base_url, api_key="unused", max_retries=0, default_headers=SIMULATED_HEADERS
    ) as client:
        await asyncio.gather(*(worker(client) for _ in range(concurrency)))
    return SimulationReport(
        requests=counts["requests"],
        errors=counts["errors"],
        ratings=counts["ratings"],
        seconds=time.monotonic() - started,
        versions=dict(versions),
    )


def _messages(visit: Visit) -> Any:
    return [dict(message) for message in visit.messages]
