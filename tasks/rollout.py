"""The offline gate and the canary."""

import logging

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from gateway_tuning.cycles.cycle import CycleOutcome, StageResult
from gateway_tuning.drift.store import StoredDriftReport
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.observability.logs import bound
from gateway_tuning.rollout.canary import Canary
from gateway_tuning.rollout.evidence import evidence_of
from gateway_tuning.rollout.gate import GatePolicy, decide
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.reporting.markdown import begun_markdown, render_markdown
from gateway_tuning.rollout.reporting.story import read_story
from gateway_tuning.rollout.served import routers
from gateway_tuning.rollout.verification import Verification, is_alarming, verify
from tasks.cycles import started_by as whoever_asked
from tasks.evaluation_pages import show_gate
from tasks.patience import BRIEF
from tasks.runtime import now, runtime
from tasks.traces import trace_canary, trace_cycle

logger = logging.getLogger("gateway_tuning.rollout")

NOT_ARRIVED = "canary.end-not-arrived"
_CYCLE_OUTCOMES = {
    "promoted": CycleOutcome.PROMOTED,
    "rolled_back": CycleOutcome.ROLLED_BACK,
    "inconclusive": CycleOutcome.INCONCLUSIVE,
    "invalid": CycleOutcome.INCONCLUSIVE,
    "superseded": CycleOutcome.ABANDONED,
}


@task(name="decide gate", **BRIEF)
def decide_gate(evaluation_id: str, drift_id: str, policy: GatePolicy) -> StageResult:
    """Pass, fail, inconclusive or error, with every reason, which the evaluation's page tells from then on."""
    rt = runtime()
    stored = rt.evaluations.get(evaluation_id)
    evaluation = read_result(stored.result)
    decision = decide(evidence_of(evaluation, *_drift_finding(rt.drift.get(drift_id))), policy)
    reasons = [*decision.reasons, *evaluation.reasons]
    lines = [f"# Gate: {decision.outcome}", *(f"- {reason}" for reason in reasons)]
    create_markdown_artifact("\n".join(lines), key="gate", description=str(decision.outcome))
    show_gate(rt, stored, decision)
    return StageResult(id=decision.outcome.value, detail={"reasons": reasons})


@task(name="start canary", **BRIEF)
def start_canary(
    canary_id: str,
    model: str,
    candidate: str,
    control: str,
    policy: CanaryPolicy,
    *,
    started_by: str | None = None,
    supersede: bool = False,
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
        started_by=started_by or whoever_asked(),
        supersede=supersede,
    )
    create_markdown_artifact(begun_markdown(canary), key="canary-begun", description=canary.id)
    return StageResult(id=canary.id, detail={"policy": policy.model_dump(mode="json")})


@task(name="verify ended canaries", **BRIEF)
def verify_ended_canaries() -> dict[str, str]:
    """Ask every gateway about each end that none has confirmed yet. Canary id to what they say.

    A gateway that does not serve the end in time is an error in the log, an artifact and an event: users may still be
    on a candidate that was taken back.
    """
    rt = runtime()
    asked = routers(rt.settings)
    told = {}
    for canary in rt.canaries.unverified(asked=bool(asked)):
        found = verify(canary, rt.canaries.stable(canary.model), asked)
        rt.canaries.note_verification(canary, found, now=now())
        told[canary.id] = found.told
        if is_alarming(canary, found, now()):
            _raise_alarm(canary, found)
    return told


@task(name="advance canary", **BRIEF)
def advance_canary(canary_id: str) -> Canary:
    """One look and one decision. When it is the last one, the cycle that waits for it ends too."""
    with bound(canary=canary_id):
        return _advanced(canary_id)


@task(name="running canaries", **BRIEF)
def running_canaries() -> list[str]:
    """Canaries to look at: those that run, and those that ended while their cycle has not heard of it."""
    rt = runtime()
    return [canary.id for canary in rt.canaries.running()] + rt.cycles.waiting_for_ended_canaries()


def _advanced(canary_id: str) -> Canary:
    rt = runtime()
    canary, look = rt.canaries.tick(canary_id, now=now())
    if look is not None:
        steps = read_story(rt.engine, canary_id, now=now(), drawn=2).steps
        told = render_markdown(canary, look, steps, now=now())
        create_markdown_artifact(told, key="canary", description=canary.id)
        logger.info(
            "look %d at %.0f %% of users: %s", look.look, 100 * look.share, look.decision.replace("_", " ")
        )
    if canary.state == "running":
        return canary
    cycle = rt.cycles.in_canary(canary_id)
    if cycle is not None:
        trace_cycle(rt.cycles.finish(cycle.id, _CYCLE_OUTCOMES[canary.state], canary.reasons, now=now()))
    if cycle is not None or look is not None:
        trace_canary(canary)
    return canary


def _raise_alarm(canary: Canary, found: Verification) -> None:
    ended = f"canary {canary.id} ended {canary.state.replace('_', ' ')} at {canary.finished_at}"
    logger.error("%s, and that has not arrived: %s", ended, found.told)
    create_markdown_artifact(
        f"# The end of canary `{canary.id}` has not arrived\n\n{ended}.\n\n{found.told}\n",
        key="canary-alarm",
        description=canary.id,
    )
    emit_event(
        event=NOT_ARRIVED,
        resource={"prefect.resource.id": f"gateway-tuning.model.{canary.model}"},
        payload={"tenant": canary.tenant, "canary": canary.id, "state": canary.state, "told": found.told},
    )


def _drift_finding(drift: StoredDriftReport) -> tuple[str, tuple[str, ...]]:
    """A change inside the dataset, all of which the candidate learned from, is told but says nothing against it."""
    state, reasons = drift.result["state"], tuple(drift.result["reasons"])
    if drift.is_against_stable or state == "error":
        return state, reasons
    told = f"the stable model was trained on no dataset; {drift.reference_id}: {state.replace('_', ' ')}"
    return "not_applicable", (told,)
