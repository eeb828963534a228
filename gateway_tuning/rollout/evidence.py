"""What the gate decides on, taken from an evaluation and a drift check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway_tuning.evaluation.scored import Role

if TYPE_CHECKING:
    from gateway_tuning.evaluation.result import EvaluationResult


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of both systems. None is unknown.

    `difference` is candidate minus stable with its interval from `low` to `high`, on `pairs` examples; `candidate` and
    `stable` are means over all examples that have a value. `distrust` says why the metric may decide nothing.
    `without_value` counts the candidate's answers that came and have none.
    """

    name: str
    higher_is_better: bool
    pairs: int
    difference: float | None
    low: float | None
    high: float | None
    candidate: float | None
    stable: float | None
    distrust: str | None = None
    without_value: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """`metrics` has what was measured, by name; `unmeasured` names what was asked for and could not be.

    `fault` says why the systems cannot be compared at all. `drift_state` is one of drift, no_drift, inconclusive, error, not_applicable.
    """

    examples: int
    failed_answers: int
    primary: str
    metrics: Mapping[str, Measured]
    drift_state: str
    drift_reasons: tuple[str, ...] = ()
    unmeasured: frozenset[str] = frozenset()
    fault: str | None = None


def evidence_of(
    result: "EvaluationResult", drift_state: str, drift_reasons: tuple[str, ...] = ()
) -> Evidence:
    """What the judge prefers is distrusted unless people bear it out (`evaluation.judging.trust`)."""
    from gateway_tuning.evaluation.judging.preferences import METRIC as JUDGE_PREFERENCE
    from gateway_tuning.evaluation.judging.trust import trust

    candidate, stable = result.system(Role.CANDIDATE), result.system(Role.STABLE)
    judged = trust(result.judge)
    metrics = {}
    for comparison in result.comparisons:
        name = comparison.metric
        if comparison.against is not Role.STABLE:
            continue
        doubted = name == JUDGE_PREFERENCE and not judged.may_be_trusted
        metrics[name] = Measured(
            name=name,
            higher_is_better=result.cards[name].higher_is_better,
            pairs=comparison.difference.n,
            difference=comparison.difference.mean,
            low=comparison.difference.low,
            high=comparison.difference.high,
            candidate=candidate.means.get(name) if candidate else None,
            stable=stable.means.get(name) if stable else None,
            distrust=judged.reason if doubted else None,
            without_value=candidate.without_value.get(name, 0) if candidate else 0,
        )
    return Evidence(
        examples=candidate.asked if candidate else 0,
        failed_answers=candidate.failed if candidate else 0,
        primary=result.primary,
        metrics=metrics,
        drift_state=drift_state,
        drift_reasons=drift_reasons,
        unmeasured=frozenset(result.cards) - frozenset(metrics),
        fault="too many answers of the stable model failed" if result.state == "invalid" else None,
    )
