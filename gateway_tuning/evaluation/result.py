"""What an evaluation says: figures with their uncertainty, and samples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from gateway_tuning.errors import IntegrityError
from gateway_tuning.evaluation.earlier import converted
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.evaluation.statistics import Difference


@dataclass(frozen=True, slots=True)
class SystemSummary:
    """Of all examples asked; latency and tokens are of the answers that came. `means` by metric, None if unknown.

    `without_value` counts the answers that came and that a metric has no value of; metrics that have all are left out.
    """

    role: Role
    version: str
    asked: int
    failed: int
    means: dict[str, float | None]
    latency_ms_mean: float | None
    latency_ms_median: float | None
    latency_ms_p95: float | None
    prompt_tokens_mean: float | None
    completion_tokens_mean: float | None
    without_value: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The candidate minus another system on one metric, on the examples where both have a value.

    `missing` counts the others. `p_value` is of no difference, two-sided, by `test`; `p_adjusted` is Holm's over all
    metrics against the same system. `detectable` is the smallest true difference that is found with 80 % power.
    """

    metric: str
    against: Role
    difference: Difference
    missing: int
    p_value: float | None
    p_adjusted: float | None
    test: Literal["paired permutation", "McNemar", "none"]
    detectable: float | None


@dataclass(frozen=True, slots=True)
class SliceComparison:
    """`comparison` within the examples whose `field` is `value`."""

    field: str
    value: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts of one example; `scores` and `notes` by role, then metric."""

    example_id: str
    prompt: str
    preferred: str
    answers: dict[str, str | None]
    errors: dict[str, str | None]
    scores: dict[str, dict[str, float | None]]
    notes: dict[str, dict[str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """`first_share`: how often the answer shown first was preferred, of the decided, and its interval; 0.5 without bias.

    `contradicted`: share of pairs where the two orders disagree; such a pair counts as no difference. `agreement`:
    share of human labels that the judge shares, with its interval; None without labels.
    """

    model: str
    pairs: int
    failed: int
    first_share: float | None
    contradicted: float | None
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    labels: int
    requests: int
    cached: int
    spent: float | None
    currency: str | None
    first_low: float | None = None
    first_high: float | None = None


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """`dataclasses.asdict` makes it JSON. Only the state `scored` may lead to a promotion.

    `no_data`: there was nothing to ask. `invalid`: too many answers of the stable system failed, and each of them
    would count in favour of the candidate. `reasons` says so in words. `cards` describe the metrics by name.
    """

    state: Literal["scored", "no_data", "invalid"]
    reasons: tuple[str, ...]
    primary: str
    cards: dict[str, ScorerCard]
    systems: tuple[SystemSummary, ...]
    comparisons: tuple[Comparison, ...]
    slices: tuple[SliceComparison, ...]
    best: tuple[Sample, ...]
    worst: tuple[Sample, ...]
    most_changed: tuple[Sample, ...]
    judge: JudgeSummary | None
    settings: dict[str, Any]

    def system(self, role: Role) -> SystemSummary | None:
        return next((one for one in self.systems if one.role is role), None)

    def comparison(self, metric: str, against: Role = Role.STABLE) -> Comparison | None:
        """None where the metric was not measured, or the other system not asked."""
        found = (one for one in self.comparisons if (one.metric, one.against) == (metric, against))
        return next(found, None)


def read_result(stored: Mapping[str, Any]) -> EvaluationResult:
    """What `dataclasses.asdict` made JSON of, now or in the version before: `earlier.converted` says how.

    Raises:
        IntegrityError: it is neither.
    """
    try:
        return _adapter().validate_python(converted(stored) if "systems" not in stored else stored)
    except (ValidationError, LookupError, TypeError) as error:
        raise IntegrityError(
            f"What is stored is no evaluation's result; restore it or evaluate again: {error}"
        ) from error


@cache
def _adapter() -> TypeAdapter[EvaluationResult]:
    return TypeAdapter(EvaluationResult)
