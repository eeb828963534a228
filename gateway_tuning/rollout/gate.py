"""The offline gate: may the candidate meet real users at all? Pure; only a pass goes on to a canary."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class GateOutcome(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class GatePolicy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    min_examples: int = Field(
        20, ge=2, description="Held-out examples that both models must have answered for"
    )
    min_improvement: float = Field(
        0.0, ge=-1, le=1, description="The interval of the difference in similarity must lie above this"
    )
    max_failed_share: float = Field(
        0.02, ge=0, le=1, description="Share of the candidate's answers that may fail outright"
    )
    accept_undecided_drift: bool = Field(
        False, description="Let a drift check pass that had too little data to decide"
    )
    requires_approval: bool = Field(
        False,
        description="After a pass, wait for another administrator's approval before users meet the candidate",
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """`low` and `high` bound `difference`, candidate minus baseline; None where nothing could be computed.

    `drift_state` is one of drift, no_drift, inconclusive, error, not_applicable.
    """

    examples: int
    failed_answers: int
    difference: float | None
    low: float | None
    high: float | None
    drift_state: str
    drift_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateDecision:
    outcome: GateOutcome
    reasons: tuple[str, ...]


def decide(evidence: Evidence, policy: GatePolicy) -> GateDecision:
    """The worst finding decides; the reasons name all of them, the good ones too."""
    findings = [_quality(evidence, policy), _failures(evidence, policy), _drift(evidence, policy)]
    severity = [GateOutcome.ERROR, GateOutcome.FAIL, GateOutcome.INCONCLUSIVE, GateOutcome.PASS]
    outcome = min((found for found, _ in findings), key=severity.index)
    return GateDecision(outcome, tuple(reason for _, reason in findings))


def _quality(evidence: Evidence, policy: GatePolicy) -> tuple[GateOutcome, str]:
    difference, low, high = evidence.difference, evidence.low, evidence.high
    if evidence.examples < policy.min_examples:
        return (
            GateOutcome.INCONCLUSIVE,
            f"{evidence.examples} held-out examples, {policy.min_examples} needed",
        )
    if difference is None or low is None or high is None:
        return GateOutcome.ERROR, "the difference in similarity has no interval"
    figures = (
        f"similarity {difference:+.3f} (interval {low:+.3f} to {high:+.3f}, on {evidence.examples} examples)"
    )
    if low > policy.min_improvement:
        return GateOutcome.PASS, f"better than {policy.min_improvement:+.3f}: {figures}"
    if high <= policy.min_improvement:
        return GateOutcome.FAIL, f"not better than {policy.min_improvement:+.3f}: {figures}"
    return GateOutcome.INCONCLUSIVE, f"not shown to be better than {policy.min_improvement:+.3f}: {figures}"


def _failures(evidence: Evidence, policy: GatePolicy) -> tuple[GateOutcome, str]:
    reason = f"{evidence.failed_answers} of {evidence.examples} answers failed"
    allowed = policy.max_failed_share * evidence.examples
    return (GateOutcome.PASS if evidence.failed_answers <= allowed else GateOutcome.FAIL), reason


def _drift(evidence: Evidence, policy: GatePolicy) -> tuple[GateOutcome, str]:
    reason = f"drift: {evidence.drift_state.replace('_', ' ')}"
    if evidence.drift_reasons:
        reason += f" ({'; '.join(evidence.drift_reasons)})"
    match evidence.drift_state:
        case "no_drift" | "not_applicable":
            return GateOutcome.PASS, reason
        case "inconclusive":
            return (GateOutcome.PASS if policy.accept_undecided_drift else GateOutcome.INCONCLUSIVE), reason
        case "drift":
            return GateOutcome.FAIL, reason
        case _:
            return GateOutcome.ERROR, reason
