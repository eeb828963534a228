"""What an evaluation says, from scored pairs of answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gateway_tuning.datasets.example import Example
from gateway_tuning.evaluation.predict import Prediction
from gateway_tuning.evaluation.scorers import accuracy
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.statistics import Difference, paired_bootstrap

_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class SystemScores:
    """Similarity and accuracy count a failed answer as 0; latency and tokens are of answers that came."""

    model: str
    n: int
    errors: int
    similarity: float | None
    accuracy: float | None
    latency_ms_mean: float | None
    latency_ms_median: float | None
    latency_ms_p95: float | None
    prompt_tokens_mean: float | None
    completion_tokens_mean: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    example_id: str
    prompt: str
    preferred: str
    candidate_answer: str | None
    baseline_answer: str | None
    candidate_error: str | None
    baseline_error: str | None
    candidate_similarity: float
    baseline_similarity: float


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """`dataclasses.asdict` makes it JSON. Only the state `scored` may lead to a promotion.

    `no_data`: there was nothing to ask. `invalid`: too many baseline answers failed, and each of them would
    count in favour of the candidate. `reasons` says so in words.
    """

    state: Literal["scored", "no_data", "invalid"]
    reasons: tuple[str, ...]
    candidate: SystemScores
    baseline: SystemScores
    similarity: Difference
    accuracy: Difference
    best: tuple[Sample, ...]
    worst: tuple[Sample, ...]
    most_changed: tuple[Sample, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Both answers to one example. A failed answer has similarity 0."""

    example: Example
    candidate: Prediction
    baseline: Prediction
    candidate_similarity: float
    baseline_similarity: float


def summarize(
    pairs: Sequence[ScoredPair], candidate_model: str, baseline_model: str, settings: EvaluationSettings
) -> EvaluationResult:
    threshold = settings.similarity_threshold
    ours = [pair.candidate_similarity for pair in pairs]
    theirs = [pair.baseline_similarity for pair in pairs]
    groups = [pair.example.group_id for pair in pairs]

    def difference(first: list[float], second: list[float]) -> Difference:
        return paired_bootstrap(
            first,
            second,
            clusters=groups,
            level=settings.level,
            resamples=settings.resamples,
            seed=settings.seed,
        )

    scores = _scores(candidate_model, [pair.candidate for pair in pairs], ours, threshold)
    baseline_scores = _scores(baseline_model, [pair.baseline for pair in pairs], theirs, threshold)
    state, reasons = _state(baseline_scores, settings)
    samples = [_sample(pair) for pair in pairs]
    return EvaluationResult(
        state=state,
        reasons=reasons,
        candidate=scores,
        baseline=baseline_scores,
        similarity=difference(ours, theirs),
        accuracy=difference([float(x > threshold) for x in ours], [float(x > threshold) for x in theirs]),
        best=_top(samples, lambda sample: -sample.candidate_similarity),
        worst=_top(samples, lambda sample: sample.candidate_similarity),
        most_changed=_top(
            samples, lambda sample: -abs(sample.candidate_similarity - sample.baseline_similarity)
        ),
        settings=settings.model_dump(mode="json"),
    )


def _state(
    baseline: SystemScores, settings: EvaluationSettings
) -> tuple[Literal["scored", "no_data", "invalid"], tuple[str, ...]]:
    if baseline.n == 0:
        return "no_data", ("The split has no demonstration to ask; more feedback is needed",)
    if baseline.errors > settings.max_baseline_failures * baseline.n:
        return "invalid", (
            f"{baseline.errors} of {baseline.n} baseline answers failed; see to its endpoint and evaluate again",
        )
    return "scored", ()


def _scores(
    model: str, predictions: Sequence[Prediction], similarities: Sequence[float], threshold: float
) -> SystemScores:
    answered = [prediction for prediction in predictions if prediction.error is None]
    latencies = [prediction.latency_ms for prediction in answered]
    return SystemScores(
        model=model,
        n=len(predictions),
        errors=len(predictions) - len(answered),
        similarity=_mean(similarities),
        accuracy=accuracy(similarities, threshold),
        latency_ms_mean=_mean(latencies),
        latency_ms_median=float(np.median(latencies)) if latencies else None,
        latency_ms_p95=float(np.quantile(latencies, 0.95)) if latencies else None,
        prompt_tokens_mean=_mean([p.prompt_tokens for p in answered if p.prompt_tokens is not None]),
        completion_tokens_mean=_mean(
            [p.completion_tokens for p in answered if p.completion_tokens is not None]
        ),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _sample(pair: ScoredPair) -> Sample:
    return Sample(
        example_id=pair.example.id,
        prompt=pair.example.prompt,
        preferred=pair.example.answer,
        candidate_answer=pair.candidate.text,
        baseline_answer=pair.baseline.text,
        candidate_error=pair.candidate.error,
        baseline_error=pair.baseline.error,
        candidate_similarity=pair.candidate_similarity,
        baseline_similarity=pair.baseline_similarity,
    )


def _top(samples: Sequence[Sample], key: Callable[[Sample], float]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: (key(sample), sample.example_id))[:_SAMPLES])
