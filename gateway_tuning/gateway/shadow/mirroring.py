"""One request of a user asked of the candidate too, and both answers in figures. No text leaves this module."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from gateway_tuning.gateway.observing import Answered
from gateway_tuning.gateway.relay.answers import Said, said_in
from gateway_tuning.gateway.relay.upstream import UpstreamError, post_chat, read_answer, token_counts
from gateway_tuning.gateway.replies import to_json
from gateway_tuning.gateway.scoring.process import Scores, Scoring
from gateway_tuning.gateway.scoring.texts import texts_of, unscored
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.rollout.shadows.shadow import Pair, Shadow, TokenPrices

_OF_THE_CLIENT = ("stream", "stream_options", "n", "user", "safety_identifier", "metadata", "store")
"""Left out of the copy: it is answered whole and once, and the candidate's endpoint need not know the user."""

_UNASKED = frozenset({"unreachable", "no_api_key"})  # costs nothing: the candidate never had the request
_EACH = ("relevance", "refusal", "json_validity")
_LONGEST_SCORING_S = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of the candidate. Either `error` or `said` is set."""

    latency_ms: float
    error: str | None = None
    said: Said | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def was_reached(self) -> bool:
        return self.error not in _UNASKED


def copy_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Tools stay: what the candidate would call is told in figures, and nobody runs it."""
    return {name: value for name, value in body.items() if name not in _OF_THE_CLIENT}


def bound_of(body: Mapping[str, Any], prices: TokenPrices | None) -> Decimal | None:
    """The most that the copy may cost; None where nobody knows."""
    if prices is None:
        return None
    named = (body.get(name) for name in ("max_completion_tokens", "max_tokens"))
    longest = next((one for one in named if isinstance(one, int) and one > 0), None)
    return prices.bound(len(to_json(copy_of(body))), longest)


async def ask(
    session: aiohttp.ClientSession, endpoint: Endpoint, body: Mapping[str, Any], *, timeout_s: float
) -> Asked:
    """Never raises for what the candidate does."""
    started = time.perf_counter()

    def since() -> float:
        return (time.perf_counter() - started) * 1000.0

    try:
        response = await post_chat(session, endpoint, copy_of(body), timeout_s=timeout_s)
        answer = await read_answer(response)
        said = said_in(answer, keep=True)
    except UpstreamError as error:
        return Asked(since(), error.code)
    return Asked(since(), None, said, *token_counts(answer.get("usage")))


async def paired(shadow: Shadow, control: Answered, candidate: Asked, scoring: Scoring) -> Pair:
    """Both by the same scorers, which are told of neither whose it is."""
    ours, theirs = await asyncio.gather(
        _scored(
            scoring, control.body, candidate.said.text if candidate.said else None, reference=control.text
        ),
        _scored(scoring, control.body, control.text if control.error is None else None),
    )
    said = candidate.said
    return Pair(
        shadow_id=shadow.id,
        answer_id=control.answer_id,
        user_key=shadow.user_key(control.user, control.answer_id),
        at=control.at,
        control_scores={
            **theirs,
            "failed": float(control.error is not None),
            "completion_tokens": control.completion_tokens,
        },
        candidate_scores={
            **ours,
            **_compared(control, candidate),
            "failed": float(candidate.error is not None),
            "completion_tokens": candidate.completion_tokens,
        },
        control_ms=control.latency_ms,
        candidate_ms=candidate.latency_ms if said is not None else None,
        candidate_error=candidate.error,
        cost=cost_of(shadow.prices, candidate),
    )


def cost_of(prices: TokenPrices | None, candidate: Asked) -> Decimal | None:
    """None where there is no price, or nobody told what was used."""
    if prices is None:
        return None
    if not candidate.was_reached:
        return Decimal(0)
    if candidate.prompt_tokens is None or candidate.completion_tokens is None:
        return None
    return prices.cost(candidate.prompt_tokens, candidate.completion_tokens)


async def _scored(
    scoring: Scoring, body: Mapping[str, Any], answer: str | None, *, reference: str | None = None
) -> Scores:
    """Nothing of an answer that did not come or has no words; of one that declines, that it does."""
    reason = unscored(answer, None)
    if reason in {"no text", "no words"} or answer is None:
        return {}
    texts = texts_of(body, answer, reference=None)
    if texts is None:
        return {}
    asked = [scoring.submit(texts, _EACH)]
    beside = None if not reference else texts_of(body, answer, reference=reference)
    if beside is not None:  # apart, for a reference changes what the other scorers look for
        asked.append(scoring.submit(beside, ("semantic_similarity",)))
    try:
        async with asyncio.timeout(_LONGEST_SCORING_S):
            found = await asyncio.gather(*asked)
    except TimeoutError:
        return {}
    scores = {name: value for one in found if one is not None for name, value in one.items()}
    if reason == "declined":
        scores = {name: value for name, value in scores.items() if not name.startswith("relevance")}
    return scores


def _compared(control: Answered, candidate: Asked) -> dict[str, float | None]:
    """`length_ratio` is candidate to control. `same_tools`: the same names, in any order; None where neither calls any."""
    said = candidate.said
    if said is None or control.error is not None:
        return {"length_ratio": None, "same_tools": None}
    ratio = len(said.text) / len(control.text) if said.text and control.text else None
    if control.tools is None or not (control.tools or said.tools):
        return {"length_ratio": ratio, "same_tools": None}
    return {"length_ratio": ratio, "same_tools": float(sorted(control.tools) == sorted(said.tools))}
