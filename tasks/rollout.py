"""The offline gate and the canary."""

import logging
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import CycleOutcome, StageResult
from gateway_tuning.drift.store import StoredDriftReport
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.rollout.canary import Canary, Look
from gateway_tuning.rollout.evidence import evidence_of
from gateway_tuning.rollout.gate import GatePolicy, decide
from gateway_tuning.rollout.policy import CanaryPolicy
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.rollout")

_CYCLE_OUTCOMES = {
    "promoted": CycleOutcome.PROMOTED,
    "rolled_back": CycleOutcome.ROLLED_BACK,
    "inconclusive": CycleOutcome.INCONCLUSIVE,
    "invalid": CycleOutcome.INCONCLUSIVE,
}


@task(name="decide gate")
def decide_gate(evaluation_id: str, drift_id: str, policy: GatePolicy) -> StageResult:
    """Pass, fail, inconclusive or error, with every reason."""
    rt = runtime()
    evaluation = read_result(rt.evaluations.get(evaluation_id).result)
    decision = decide(evidence_of(evaluation, *_drift_finding(rt.drift.get(drift_id))), policy)
    reasons = [*decision.reasons, *evaluation.reasons]
    lines = [f"# Gate: {decision.outcome}", *(f"- {reason}" for reason in reasons)]
    create_markdown_artifact("\n".join(lines), key="gate", description=str(decision.outcome))
    return StageResult(id=decision.outcome.value, detail={"reasons": reasons})


@task(name="start canary", retries=2, retry_delay_seconds=2)
def start_canary(
    canary_id: str, model: str, candidate: str, control: str, policy: CanaryPolicy
) -> StageResult:
    """Send the first share of users to the candidate. Starting the same canary again changes nothing."""
    rt = runtime()
    version = rt.registry.get(candidate)
    canary = rt.canaries.start(
        canary_id,
        tenant=version.tenant,
        model=model,
        candidate=candidate,
        control=control,
        policy=policy,
        now=now(),
    )
    return StageResult(id=canary.id, detail={"policy": policy.model_dump(mode="json")})


@task(name="advance canary", retries=2, retry_delay_seconds=2)
def advance_canary(canary_id: str) -> Canary:
    """One look and one decision. When it is the last one, the cycle that waits for it ends too."""
    rt = runtime()
    canary, look = rt.canaries.tick(canary_id, now=now())
    if look is not None:
        create_markdown_artifact(_markdown(canary, look), key="canary", description=canary.id)
        logger.info(
            "look %d at %.0f %% of users: %s", look.look, 100 * look.share, look.decision.replace("_", " ")
        )
    cycle = rt.cycles.in_canary(canary_id)
    if canary.state != "running" and cycle is not None:
        rt.cycles.finish(cycle.id, _CYCLE_OUTCOMES[canary.state], canary.reasons, now=now())
    return canary


@task(name="running canaries")
def running_canaries() -> list[str]:
    """Canaries to look at: those that run, and those that ended while their cycle has not heard of it."""
    rt = runtime()
    return [canary.id for canary in rt.canaries.running()] + rt.cycles.waiting_for_ended_canaries()


def _drift_finding(drift: StoredDriftReport) -> tuple[str, tuple[str, ...]]:
    """A change inside the dataset, all of which the candidate learned from, is told but says nothing against it."""
    state, reasons = drift.result["state"], tuple(drift.result["reasons"])
    if drift.is_against_stable or state == "error":
        return state, reasons
    told = f"the stable model was trained on no dataset; {drift.reference_id}: {state.replace('_', ' ')}"
    return "not_applicable", (told,)


def _markdown(canary: Canary, look: Look) -> str:
    lines = [
        f"# Canary `{canary.id}`: {look.decision.replace('_', ' ')}",
        f"Look {look.look} at {look.share:.0%} of users; the canary is {canary.state.replace('_', ' ')}.",
        "",
        *(f"- {reason}" for reason in look.reasons),
    ]
    results = look.verdict.get("results", [])
    if results:
        lines += [
            "",
            "| metric | canary | control | harm | interval | margin | status |",
            "|---|---:|---:|---:|---:|---:|---|",
        ]
        lines += [_metric_row(result) for result in results]
    return "\n".join(lines)


def _metric_row(result: dict[str, Any]) -> str:
    def figure(name: str) -> str:
        return "-" if result[name] is None else f"{result[name]:.4g}"

    interval = f"{figure('low')} to {figure('high')}"
    cells = [
        result["name"],
        figure("canary"),
        figure("control"),
        figure("harm"),
        interval,
        figure("margin"),
        result["status"],
    ]
    return f"| {' | '.join(cells)} |".replace("_", " ")
