"""The offline gate: may the candidate meet real users at all? Pure; only a pass goes on to a canary.

The primary metric is one test: its interval must lie above the margin. Guardrails and hard checks must all hold, and
their number needs no correction: a candidate that is beyond the margin of one of them passes no more often than that
one test lets it (intersection-union test; Berger 1982, doi:10.1080/00401706.1982.10487790). So the adjusted p-values
of an evaluation decide nothing here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.evaluation.measures import LATENCY, TOKENS
from gateway_tuning.rollout import findings
from gateway_tuning.rollout.evidence import Evidence
from gateway_tuning.rollout.findings import Finding, GateOutcome

__all__ = ["USUAL_GUARDRAILS", "GateDecision", "GateOutcome", "GatePolicy", "decide"]

USUAL_GUARDRAILS = {"semantic_similarity": 0.05, "factuality": 0.05}

Margin = Annotated[float, Field(ge=0)]
Ratio = Annotated[float, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class GatePolicy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    min_examples: int = Field(
        20, ge=2, description="Held-out examples that both models must have answered for"
    )
    min_improvement: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="The interval of the difference in the primary metric must lie above this",
    )
    guardrails: dict[str, Margin] | None = Field(
        None,
        description=(
            "By metric, how much worse the candidate must be shown not to be; each must have been measured. Left out: "
            + ", ".join(f"{name} {margin}" for name, margin in USUAL_GUARDRAILS.items())
            + ", where measured"
        ),
    )
    max_latency_ratio: Ratio | None = Field(
        None, description="Mean latency as a multiple of the stable model's; not looked at when left out"
    )
    max_tokens_ratio: Ratio | None = Field(
        None, description="Tokens of an answer as a multiple of the stable model's; as above"
    )
    max_failed_share: float = Field(
        0.02, ge=0, le=1, description="Share of the candidate's answers that may fail outright"
    )
    min_json_validity: Share | None = Field(
        1.0, description="Share of valid answers where JSON is asked for; null: not looked at"
    )
    max_personal_data: Margin | None = Field(
        0.0,
        description="Personal identifiers an answer that neither prompt nor preferred answer has; null: as above",
    )
    max_more_refusals: Share | None = Field(
        0.02, description="By how much the share of refusals may exceed the stable model's; null: as above"
    )
    on_drift: Literal["block", "ask", "ignore"] = Field(
        "block",
        description=(
            "What follows where users ask otherwise than the stable model learned. block: no pass. ask: a pass needs "
            "an approval. ignore: the drift check is told and decides nothing"
        ),
    )
    accept_undecided_drift: bool = Field(
        False, description="Let a drift check pass that had too little data to decide"
    )
    requires_approval: bool = Field(
        False,
        description="After a pass, wait for another administrator's approval before users meet the candidate",
    )


@dataclass(frozen=True, slots=True)
class GateDecision:
    outcome: GateOutcome
    reasons: tuple[str, ...]


def decide(evidence: Evidence, policy: GatePolicy) -> GateDecision:
    """The worst finding decides; the reasons name all of them, the good ones too."""
    found = list(_findings(evidence, policy))
    severity = [GateOutcome.ERROR, GateOutcome.FAIL, GateOutcome.INCONCLUSIVE, GateOutcome.PASS]
    outcome = min((outcome for outcome, _ in found), key=severity.index)
    return GateDecision(outcome, tuple(reason for _, reason in found))


def _findings(evidence: Evidence, policy: GatePolicy) -> Iterator[Finding]:
    yield findings.improvement(evidence, policy.min_improvement, policy.min_examples)
    yield findings.failures(evidence, policy.max_failed_share)
    if evidence.examples and evidence.fault is None:
        yield from _comparisons(evidence, policy)
    yield _drift(evidence, policy)


def _comparisons(evidence: Evidence, policy: GatePolicy) -> Iterator[Finding]:
    metrics = evidence.metrics
    if policy.guardrails is None:
        yield from findings.usual_guardrails(evidence, USUAL_GUARDRAILS)
    else:
        yield from findings.guardrails(metrics, policy.guardrails)
    if policy.max_latency_ratio is not None:
        yield findings.cost_ratio(metrics, LATENCY, policy.max_latency_ratio)
    if policy.max_tokens_ratio is not None:
        yield findings.cost_ratio(metrics, TOKENS, policy.max_tokens_ratio)
    if policy.min_json_validity is not None:
        yield findings.json_validity(metrics, policy.min_json_validity)
    if policy.max_personal_data is not None:
        yield findings.personal_data(metrics, policy.max_personal_data)
    if policy.max_more_refusals is not None:
        yield findings.refusals(metrics, policy.max_more_refusals)


def _drift(evidence: Evidence, policy: GatePolicy) -> Finding:
    reason = f"drift: {evidence.drift_state.replace('_', ' ')}"
    if evidence.drift_reasons:
        reason += f" ({'; '.join(evidence.drift_reasons)})"
    if policy.on_drift == "ignore":
        return GateOutcome.PASS, f"{reason}; ignored, as the policy says"
    match evidence.drift_state:
        case "no_drift" | "not_applicable":
            return GateOutcome.PASS, reason
        case "inconclusive":
            return (GateOutcome.PASS if policy.accept_undecided_drift else GateOutcome.INCONCLUSIVE), reason
        case "drift" if policy.on_drift == "ask":
            return GateOutcome.PASS, f"{reason}; a person decides, as the policy says"
        case "drift":
            return GateOutcome.FAIL, reason
        case _:
            return GateOutcome.ERROR, reason
