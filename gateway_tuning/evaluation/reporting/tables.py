"""The rows of the report's tables. Pure."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gateway_tuning.datasets.describing.settings import flat
from gateway_tuning.evaluation.reporting.figures import (
    UNKNOWN,
    digits_of,
    figure,
    interval,
    percent,
    probability,
    signed,
    told,
)
from gateway_tuning.evaluation.reporting.findings import TONES, finding_of, survives
from gateway_tuning.evaluation.reporting.forest import Row, Tone
from gateway_tuning.evaluation.result import Comparison, EvaluationResult, JudgeSummary, SystemSummary
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.scoring.protocol import ScorerCard


@dataclass(frozen=True, slots=True)
class MetricRow:
    label: str
    primary: bool
    aim: str
    candidate: str
    other: str
    difference: str
    interval: str
    p: str
    detectable: str
    n: str
    finding: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class SliceGroup:
    """The slices of one field by one metric."""

    field: str
    metric: str
    rows: tuple[MetricRow, ...]
    plot: tuple[Row, ...]


def opponents(result: EvaluationResult) -> list[Role]:
    """Whom the candidate was compared with, the stable model first."""
    met = {one.against for one in result.comparisons}
    return [role for role in (Role.STABLE, Role.BASE) if role in met]


def metric_rows(result: EvaluationResult, against: Role) -> list[MetricRow]:
    """The primary metric first, the others in the order of the result."""
    known = [one for one in result.comparisons if one.against == against and one.metric in result.cards]
    known.sort(key=lambda one: one.metric != result.primary)
    return [_metric_row(result, one) for one in known]


def forest_rows(result: EvaluationResult, against: Role = Role.STABLE) -> tuple[list[Row], list[Row]]:
    """Metrics with bounds as shares of their range, then the others as shares of the other system's mean.

    Better is to the right: metrics of which less is better are mirrored. What cannot be scaled has no bar.
    """
    bounded, unbounded = [], []
    other = result.system(against)
    for comparison in result.comparisons:
        card = result.cards.get(comparison.metric)
        if comparison.against != against or card is None:
            continue
        span = card.high - card.low if card.low is not None and card.high is not None else None
        if span is None:
            mean = other.means.get(comparison.metric) if other else None
            unbounded.append(_forest_row(result, comparison, abs(mean) if mean else None))
        else:
            bounded.append(_forest_row(result, comparison, span or None))
    return bounded, unbounded


def slice_groups(result: EvaluationResult) -> list[SliceGroup]:
    """By field and metric, the primary metric first."""
    cards = result.cards

    def place(index: int) -> tuple[str, bool, str]:
        one = result.slices[index]
        return one.field, one.comparison.metric != result.primary, one.comparison.metric

    known = [at for at, one in enumerate(result.slices) if one.comparison.metric in cards]
    groups = []
    for (field, _, metric), indices in groupby(sorted(known, key=place), key=place):
        members = [result.slices[at] for at in indices]
        rows = tuple(_metric_row(result, one.comparison, label=one.value) for one in members)
        card = cards[metric]
        span = card.high - card.low if card.low is not None and card.high is not None else None
        plot = tuple(
            _forest_row(result, one.comparison, span, label=f"{one.value}, n = {one.comparison.difference.n}")
            for one in members
        )
        groups.append(SliceGroup(field.replace("_", " "), card.label, rows, plot if span else ()))
    return groups


def system_rows(result: EvaluationResult) -> list[tuple[str, list[str]]]:
    """What was asked and what it took; one figure a system."""
    shown: list[tuple[str, Callable[[SystemSummary], str]]] = [
        ("Version", lambda system: system.version),
        ("Prompts asked", lambda system: f"{system.asked:,}"),
        ("Failed answers", lambda system: f"{system.failed:,}"),
        ("Latency, mean (ms)", lambda system: figure(system.latency_ms_mean, 0)),
        ("Latency, median (ms)", lambda system: figure(system.latency_ms_median, 0)),
        ("Latency, 95th percentile (ms)", lambda system: figure(system.latency_ms_p95, 0)),
        ("Tokens of a prompt, mean", lambda system: figure(system.prompt_tokens_mean, 1)),
        ("Tokens of an answer, mean", lambda system: figure(system.completion_tokens_mean, 1)),
    ]
    return [(label, [show(system) for system in result.systems]) for label, show in shown]


def judge_rows(judge: JudgeSummary) -> list[tuple[str, str]]:
    first = UNKNOWN
    if judge.first_share is not None:
        decided = _share(judge.first_share, judge.first_low, judge.first_high)
        first = f"{decided} of the decided; 50 % without bias"
    agreement = "unknown: no human labels"
    if judge.agreement is not None:
        shared = _share(judge.agreement, judge.agreement_low, judge.agreement_high)
        agreement = f"{shared} of {judge.labels:,}"
    cost = UNKNOWN if judge.spent is None else f"{judge.spent:.4g} {judge.currency or ''}".rstrip()
    return [
        ("Model", judge.model),
        ("Pairs judged", f"{judge.pairs:,}, of which {judge.failed:,} failed and have no value"),
        ("Answer shown first preferred", first),
        ("Orders contradict each other", f"{percent(judge.contradicted)} of the pairs; counted as no difference"),
        ("Agrees with human labels", agreement),
        ("Requests", f"{judge.requests:,}, and {judge.cached:,} verdicts known before"),
        ("Cost", cost),
    ]  # fmt: skip


def _share(value: float, low: float | None, high: float | None) -> str:
    spread = UNKNOWN if low is None or high is None else f"{percent(low)} to {percent(high)}"
    return f"{percent(value)} (interval {spread})"


def setting_rows(settings: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, json.dumps(value, ensure_ascii=False, default=str)) for name, value in flat(settings)]


def formula_rows(cards: Iterable[ScorerCard]) -> list[tuple[str, str, str, str]]:
    """Label, formula, range and source."""
    return [(card.label, card.formula, _range(card), card.source) for card in cards]


def _metric_row(result: EvaluationResult, comparison: Comparison, *, label: str | None = None) -> MetricRow:
    """With a `label` the row is of a slice, where the systems' means are not known."""
    card, difference = result.cards[comparison.metric], comparison.difference
    means, digits = _means(result, comparison), _digits(result, comparison)
    finding = finding_of(difference, card)
    doubtful = finding in {"better", "worse"} and label is None and not survives(comparison)
    return MetricRow(
        label=label or card.label,
        primary=comparison.metric == result.primary,
        aim="more is better" if card.higher_is_better else "less is better",
        candidate=figure(means[0], digits),
        other=figure(means[1], digits),
        difference=signed(difference.mean, digits),
        interval=interval(difference, digits),
        p=probability(comparison.p_adjusted),
        detectable=figure(comparison.detectable, digits),
        n=f"{difference.n:,}",
        finding=f"{finding}, not after correction" if doubtful else finding,
        tone="" if doubtful else TONES[finding],
    )


def _means(result: EvaluationResult, comparison: Comparison) -> list[float | None]:
    """Of the candidate and the other system."""
    systems = (result.system(role) for role in (Role.CANDIDATE, comparison.against))
    return [system.means.get(comparison.metric) if system else None for system in systems]


def _digits(result: EvaluationResult, comparison: Comparison) -> int:
    difference = comparison.difference
    values = (difference.mean, difference.low, difference.high, *_means(result, comparison))
    return digits_of(result.cards[comparison.metric], *values)


def _forest_row(
    result: EvaluationResult, comparison: Comparison, unit: float | None, *, label: str | None = None
) -> Row:
    card, difference = result.cards[comparison.metric], comparison.difference
    name = label or (card.label if card.higher_is_better else f"{card.label} ↓")
    said = told(difference, _digits(result, comparison))
    if unit is None or difference.mean is None:
        return Row(name, said, None, None, None)
    sign = 1 if card.higher_is_better else -1
    ends = sorted(sign * value / unit for value in (difference.low, difference.high) if value is not None)
    low, high = ends if len(ends) == 2 else (None, None)  # noqa: PLR2004 - both ends or none
    return Row(name, said, low, sign * difference.mean / unit, high, TONES[finding_of(difference, card)])


def _range(card: ScorerCard) -> str:
    if card.low is None and card.high is None:
        return "no bounds"
    if card.high is None:
        return f"from {card.low:g}"
    return f"up to {card.high:g}" if card.low is None else f"{card.low:g} to {card.high:g}"
