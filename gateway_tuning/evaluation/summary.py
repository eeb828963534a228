"""An evaluation's result, from scored answers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from gateway_tuning.evaluation.comparing import compare, compare_all, value_of
from gateway_tuning.evaluation.measures import MEASURES
from gateway_tuning.evaluation.result import (
    EvaluationResult,
    JudgeSummary,
    Sample,
    SliceComparison,
    SystemSummary,
)
from gateway_tuning.evaluation.scored import Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.evaluation.settings import EvaluationSettings

SAMPLES = 5
SLICE_EXAMPLES, SLICE_CLUSTERS = 10, 2  # below, an interval says nothing
SLICES_A_FIELD = 12


def summarize(
    scored: Sequence[ScoredExample],
    cards: Mapping[str, ScorerCard],
    settings: EvaluationSettings,
    *,
    versions: Mapping[Role, str],
    judge: JudgeSummary | None = None,
    unmeasured: Mapping[str, str] | None = None,
    remarks: Sequence[str] = (),
) -> EvaluationResult:
    """Figures by system, the candidate against every other system, slices and samples.

    Args:
        scored: An answer of every system in `versions` to each example.
        cards: The metrics, by name, in the order of the report; latency and tokens are added.
        settings: What was asked for; kept with the result.
        versions: Model version by role; candidate and stable at least.
        judge: How the judge did, where `judge_preference` is among the metrics.
        unmeasured: Why a metric could not be measured at all, by name: it keeps its card and is compared with nobody,
            which is no pass at the gate. A metric that applies to no example is none of these: it is compared,
            without a value.
        remarks: Reasons of the caller's, told with ours.

    Slices compare the primary metric with the stable system, in at most the 12 commonest values of a field that
    have 10 examples of 2 clusters. They have intervals only: whoever looks at many slices finds a small p-value in
    one of them.
    """
    unmeasured = unmeasured or {}
    cards = dict(cards) | MEASURES
    measured = {name: card for name, card in cards.items() if name not in unmeasured}
    systems = tuple(
        _system(scored, role, versions[role], measured, unmeasured) for role in Role if role in versions
    )
    state, reasons = _state(scored, systems, settings)
    opponents = [one for one in systems if one.role is not Role.CANDIDATE]
    broken = [one for one in opponents if one.role is not Role.STABLE and _is_broken(one, settings)]
    told = [f"{name} could not be measured: {reason}" for name, reason in unmeasured.items()]
    told += [
        f"Nothing is compared with {one.role.value}: {one.failed} of {one.asked} of its answers failed"
        for one in broken
    ]
    card = measured.get(settings.primary)
    return EvaluationResult(
        state=state,
        reasons=(*reasons, *(told if scored else ()), *remarks),
        primary=settings.primary,
        cards=cards,
        systems=systems,
        comparisons=tuple(
            comparison
            for one in opponents
            if one not in broken
            for comparison in compare_all(scored, measured, one.role, settings)
        ),
        slices=tuple(_slices(scored, card, settings)) if card else (),
        **(_samples(scored, card, measured) if card else {"best": (), "worst": (), "most_changed": ()}),
        judge=judge,
        settings=settings.model_dump(mode="json"),
    )


def _state(
    scored: Sequence[ScoredExample], systems: Sequence[SystemSummary], settings: EvaluationSettings
) -> tuple[Literal["scored", "no_data", "invalid"], tuple[str, ...]]:
    if not scored:
        return "no_data", ("The split has no demonstration to ask; more feedback is needed",)
    stable = next(one for one in systems if one.role is Role.STABLE)
    if _is_broken(stable, settings):
        failed = f"{stable.failed} of {stable.asked} answers of the stable model failed"
        return "invalid", (f"{failed}; see to its endpoint and evaluate again",)
    return "scored", ()


def _is_broken(system: SystemSummary, settings: EvaluationSettings) -> bool:
    return system.failed > settings.max_baseline_failures * system.asked


def _system(
    scored: Sequence[ScoredExample],
    role: Role,
    version: str,
    cards: Mapping[str, ScorerCard],
    unmeasured: Iterable[str],
) -> SystemSummary:
    answers = [one.answers[role] for one in scored]
    came = [answer for answer in answers if answer.text is not None]
    latencies = [answer.latency_ms for answer in came]
    return SystemSummary(
        role=role,
        version=version,
        asked=len(answers),
        failed=len(answers) - len(came),
        means={name: _mean([value_of(one, role, card) for one in scored]) for name, card in cards.items()}
        | dict.fromkeys(unmeasured),
        latency_ms_mean=_mean(latencies),
        latency_ms_median=float(np.median(latencies)) if latencies else None,
        latency_ms_p95=float(np.quantile(latencies, 0.95)) if latencies else None,
        prompt_tokens_mean=_mean([answer.prompt_tokens for answer in came]),
        completion_tokens_mean=_mean([answer.completion_tokens for answer in came]),
        without_value=_without_value(scored, role, cards),
    )


def _without_value(
    scored: Sequence[ScoredExample], role: Role, cards: Mapping[str, ScorerCard]
) -> dict[str, int]:
    came = [one for one in scored if one.answers[role].text is not None]
    counts = {name: sum(value_of(one, role, card) is None for one in came) for name, card in cards.items()}
    return {name: count for name, count in counts.items() if count}


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _slices(
    scored: Sequence[ScoredExample], card: ScorerCard, settings: EvaluationSettings
) -> Iterator[SliceComparison]:
    for field in settings.slices:
        counts = Counter(one.facets[field] for one in scored if field in one.facets)
        commonest = sorted(counts, key=lambda value: (-counts[value], value))[:SLICES_A_FIELD]
        for value in commonest:
            inside = [one for one in scored if one.facets.get(field) == value]
            groups = {one.example.group_id for one in inside}
            if len(inside) >= SLICE_EXAMPLES and len(groups) >= SLICE_CLUSTERS:
                comparison = compare(inside, card, Role.STABLE, settings, tested=False)
                yield SliceComparison(field, value, comparison)


def _samples(
    scored: Sequence[ScoredExample], card: ScorerCard, cards: Mapping[str, ScorerCard]
) -> dict[str, tuple[Sample, ...]]:
    """Best and worst answers of the candidate by the primary metric, and those that it changed most."""
    good = 1.0 if card.higher_is_better else -1.0
    ours: list[tuple[float, ScoredExample]] = []
    changes: list[tuple[float, ScoredExample]] = []
    for one in scored:
        mine, other = value_of(one, Role.CANDIDATE, card), value_of(one, Role.STABLE, card)
        if mine is not None:
            ours.append((good * mine, one))
        if mine is not None and other is not None:
            changes.append((abs(mine - other), one))

    def top(ranked: Sequence[tuple[float, ScoredExample]]) -> tuple[Sample, ...]:
        first = sorted(ranked, key=lambda pair: (-pair[0], pair[1].example.id))[:SAMPLES]
        return tuple(_sample(one, cards) for _, one in first)

    worst = [(-value, one) for value, one in ours]
    return {"best": top(ours), "worst": top(worst), "most_changed": top(changes)}


def _sample(one: ScoredExample, cards: Mapping[str, ScorerCard]) -> Sample:
    return Sample(
        example_id=one.example.id,
        prompt=one.example.prompt,
        preferred=one.example.answer,
        answers={role.value: answer.text for role, answer in one.answers.items()},
        errors={role.value: answer.error for role, answer in one.answers.items()},
        scores={
            role.value: {name: value_of(one, role, card) for name, card in cards.items()}
            for role in one.answers
        },
        notes={
            role.value: {name: score.notes for name, score in scores.items() if score.notes}
            for role, scores in one.scores.items()
        },
    )
