"""Has what users ask, and what they say of the answers, changed between two windows?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.statistics import Matrix, category_bins, holm, numeric_bins, shifts, word_bins

_WORD = re.compile(r"\w+")
_FEW_SAMPLES, _SHORT_PROMPT, _LONG_PROMPT = 100, 10, 1_000  # rows; characters on average


@dataclass(frozen=True, slots=True)
class Window:
    """Parallel sequences, one entry a row. Rows of one group (a user, a conversation) are not independent."""

    label: str
    prompts: Sequence[str]
    answers: Sequence[str]
    feedback_types: Sequence[str]
    groups: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Refuse sequences of different lengths."""
        parallel = [self.prompts, self.answers, self.feedback_types]
        if self.groups is not None:
            parallel.append(self.groups)
        if len({len(column) for column in parallel}) != 1:
            raise ValueError(f"Window {self.label}: its sequences have lengths {[len(c) for c in parallel]}")


@dataclass(frozen=True, slots=True)
class Metric:
    """`psi_expected` is what chance gives; `threshold` is for the PSI beyond it. `p_value` is Holm's."""

    name: str
    psi: float
    psi_expected: float
    p_value: float
    threshold: float
    drifted: bool
    n_reference: int
    n_current: int


@dataclass(frozen=True, slots=True)
class QualityIssue:
    type: Literal["low_sample_count", "short_prompts", "long_prompts"]
    severity: Literal["warning", "info"]
    description: str


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`score`, the mean PSI beyond chance, is for display and decides nothing; None when nothing was measured."""

    state: Literal["drift", "no_drift", "inconclusive", "error", "not_applicable"]
    reasons: tuple[str, ...]
    metrics: tuple[Metric, ...]
    data_quality: tuple[QualityIssue, ...]
    score: float | None
    reference: str | None
    current: str


def check_drift(reference: Window | None, current: Window, settings: DriftSettings) -> DriftReport:
    """Compare length and words of the prompts, length of the answers and the mix of feedback types.

    A feature has drifted when its PSI exceeds what chance gives by `min_psi` and is significant among all of them
    (permutation test, Holm). An error is a state with its reason, never a score of 0.

    `min_rows` is low because significance guards against false alarms, however few the rows; few rows only see
    large changes. Without a reference (the stable model was trained on no feedback) the check is not applicable;
    a reference without rows is inconclusive.
    """
    if reference is None:
        return _report("not_applicable", "There is no reference to compare with", None, current)
    short = [w for w in (reference, current) if len(w.prompts) < settings.min_rows]
    if short:
        told = " and ".join(f"{window.label} has {len(window.prompts)}" for window in short)
        return _report(
            "inconclusive", f"{told} rows, at least {settings.min_rows} are needed", reference, current
        )
    try:
        metrics = _measure(reference, current, settings)
    except Exception as error:  # noqa: BLE001 - a check that broke is a state that blocks, not a crash of the run
        return _report("error", f"The check failed: {type(error).__name__}: {error}", reference, current)
    drifted = [metric for metric in metrics if metric.drifted]
    reasons = tuple(
        f"{metric.name}: PSI {metric.psi:.3f}, by chance {metric.psi_expected:.3f} (p = {metric.p_value:.2g})"
        for metric in drifted
    )
    return DriftReport(
        state="drift" if drifted else "no_drift",
        reasons=reasons or (f"None of {len(metrics)} features has changed by more than chance",),
        metrics=metrics,
        data_quality=_quality(current),
        score=sum(max(0.0, metric.psi - metric.psi_expected) for metric in metrics) / len(metrics),
        reference=reference.label,
        current=current.label,
    )


def _measure(reference: Window, current: Window, settings: DriftSettings) -> tuple[Metric, ...]:
    features = _features(reference, current, settings)
    results = shifts(
        list(features.values()),
        reference_rows=len(reference.prompts),
        groups=[*_groups(reference), *_groups(current)],
        permutations=settings.permutations,
        seed=settings.seed,
    )
    adjusted = holm([result.p_value for result in results])
    return tuple(
        Metric(
            name=name,
            psi=result.psi,
            psi_expected=result.expected,
            p_value=p_value,
            threshold=settings.min_psi,
            drifted=p_value <= settings.alpha and result.psi - result.expected >= settings.min_psi,
            n_reference=len(reference.prompts),
            n_current=len(current.prompts),
        )
        for name, result, p_value in zip(features, results, adjusted, strict=True)
    )


def _features(reference: Window, current: Window, settings: DriftSettings) -> dict[str, Matrix]:
    def words(window: Window) -> list[list[str]]:
        return [_WORD.findall(prompt.lower()) for prompt in window.prompts]

    return {
        "prompt_length": numeric_bins(_lengths(reference.prompts), _lengths(current.prompts)),
        "prompt_words": word_bins(words(reference), words(current), words=settings.words),
        "answer_length": numeric_bins(_lengths(reference.answers), _lengths(current.answers)),
        "feedback_type": category_bins(reference.feedback_types, current.feedback_types),
    }


def _lengths(texts: Sequence[str]) -> list[float]:
    return [float(len(text)) for text in texts]


def _groups(window: Window) -> Sequence[str | int]:
    return range(len(window.prompts)) if window.groups is None else window.groups


def _quality(window: Window) -> tuple[QualityIssue, ...]:
    rows = len(window.prompts)
    issues = []
    if rows < _FEW_SAMPLES:
        issues.append(QualityIssue("low_sample_count", "warning", f"{window.label} has only {rows} rows"))
    average = sum(map(len, window.prompts)) / rows if rows else None
    if average is not None and average < _SHORT_PROMPT:
        told = f"Prompts of {window.label} have {average:.1f} characters on average"
        issues.append(QualityIssue("short_prompts", "warning", told))
    if average is not None and average > _LONG_PROMPT:
        told = f"Prompts of {window.label} have {average:.0f} characters on average"
        issues.append(QualityIssue("long_prompts", "info", told))
    return tuple(issues)


def _report(
    state: Literal["inconclusive", "error", "not_applicable"],
    reason: str,
    reference: Window | None,
    current: Window,
) -> DriftReport:
    return DriftReport(
        state=state,
        reasons=(reason,),
        metrics=(),
        data_quality=_quality(current),
        score=None,
        reference=None if reference is None else reference.label,
        current=current.label,
    )
