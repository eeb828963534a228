"""Answers of several systems to one example, and what was made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway_tuning.datasets.example import Example
from gateway_tuning.evaluation.scoring.protocol import Score


class Role(StrEnum):
    """`stable` is what users meet now, `base` the model that the candidate was tuned from."""

    CANDIDATE = "candidate"
    STABLE = "stable"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class Answer:
    """Either `text` or `error` is set. `latency_ms` includes retries; token counts are the server's, if any."""

    role: Role
    version: str
    text: str | None
    error: str | None
    latency_ms: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ScoredExample:
    """`scores` by role and metric, of failed answers too (`running.scoring`). `facets` name its slices."""

    example: Example
    answers: Mapping[Role, Answer]
    scores: Mapping[Role, Mapping[str, Score]]
    facets: Mapping[str, str]
