"""The net below the feedback threshold: what an event or a process lost is found again."""

import logging
from datetime import timedelta

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.errors import OrchestratorError
from gateway_tuning.feedback.threshold import Crossing
from gateway_tuning.runs.run import RunKind
from tasks.patience import BRIEF
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.threshold")

_DEPLOYMENT = RunKind.TUNING_CYCLE.deployment


@task(name="announce crossings", **BRIEF)
def announce_crossings() -> list[str]:
    """Count again for every tenant, and announce every crossing that was not. Returns the announced models."""
    rt = runtime()
    for tenant in rt.thresholds.tenants():
        rt.thresholds.reached(tenant, now())
    waiting = rt.thresholds.unannounced()
    failed = rt.thresholds.announce(waiting, rt.prefect, now())
    if failed:
        raise OrchestratorError(
            f"{failed} of {len(waiting)} crossings could not be announced; see `thresholds`"
        )
    return [crossing.model for crossing in waiting]


@task(name="start missed cycles", **BRIEF)
def start_missed_cycles(grace_seconds: float) -> list[str]:
    """Start the cycle of each crossing that was announced before the grace and that nothing followed."""
    rt = runtime()
    missed = rt.thresholds.unanswered(announced_before=now() - timedelta(seconds=grace_seconds))
    under_way = {subject_of(parameters) for parameters in rt.prefect.under_way(_DEPLOYMENT, now=now())}
    started = [crossing for crossing in missed if (crossing.tenant, crossing.model) not in under_way]
    for crossing in started:
        _start(crossing)
    return [crossing.model for crossing in started]


def show(found: dict[str, list[str]]) -> None:
    """As an artifact, where something was done."""
    done = [f"- {what}: {', '.join(names)}" for what, names in found.items() if names]
    if done:
        create_markdown_artifact("\n".join(["# Looked after", "", *done]), key="looked-after")


def look(tenant: str) -> None:
    """Call after feedback came in. What cannot be announced now stands in the store for the scheduled check."""
    rt = runtime()
    crossings = rt.thresholds.reached(tenant, now())
    if rt.settings.prefect_api_url:
        rt.thresholds.announce(crossings, rt.prefect, now())


def _start(crossing: Crossing) -> None:
    plan = runtime().thresholds.plan(crossing.tenant, crossing.model)
    run = runtime().prefect.start(
        _DEPLOYMENT,
        {"plan": plan.model_dump(mode="json")},
        key=f"threshold:{crossing.tenant}:{crossing.model}:{crossing.watermark}",
    )
    logger.info("no cycle of %s followed its threshold; run %s was started", crossing.model, run.id)


def subject_of(parameters: dict[str, object]) -> tuple[object, object]:
    """Tenant and model of a cycle's run; a plan may leave out what is the default."""
    plan = parameters.get("plan")
    given = plan if isinstance(plan, dict) else {}
    return given.get("tenant", "default"), given.get("model", "assistant")
