"""Tuning jobs that no run carries: looked at on a schedule, and stopped when somebody says so."""

import logging
from functools import lru_cache
from typing import Any

from prefect import Flow, State, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event

from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.registry.following import follow_job
from gateway_tuning.training.job import ProviderJob
from gateway_tuning.training.jobs import TuningJob
from gateway_tuning.training.watching.limits import Verdict
from gateway_tuning.training.watching.reconciling import Orphan, Reconciled, Reconciler
from gateway_tuning.training.watching.stopping import stop
from tasks.costs import record_cost
from tasks.patience import BRIEF
from tasks.runtime import Runtime, now, runtime

logger = logging.getLogger("gateway_tuning.training")


def told_of(job: TuningJob, seen: ProviderJob, verdict: Verdict) -> None:
    """A job that stands still is told once: in the log, as an event that automations may act on, as an artifact."""
    del seen
    if verdict.note:
        _noted(job.key, verdict.note)
    if verdict.stale_for is None:
        return
    hours = verdict.stale_for.total_seconds() / 3600
    message = (
        f"Job {job.key[:12]} at {job.spec.provider} has told nothing new for {hours:.1f} hours. It is cancelled after "
        f"{job.limits.max_training_hours:g} hours of training; to end it now: gateway-tuning jobs cancel {job.key[:12]}"
    )
    logger.warning("%s", message)
    create_markdown_artifact(f"# Stale tuning job\n\n{message}", key="stale-job", description=job.key[:12])
    emit_event(
        event="tuning-job.stale",
        resource={"prefect.resource.id": f"gateway-tuning.tuning-job.{job.key}"},
        payload={"provider": job.spec.provider, "job_id": job.provider_job_id, "hours": hours},
    )


@lru_cache(maxsize=256)
def _noted(key: str, note: str) -> None:
    """Once a process: it stays as true at every look."""
    logger.info("job %s: %s", key[:12], note)


@task(name="reconcile jobs", **BRIEF)
def reconcile() -> dict[str, str]:
    """One look at every unfinished job that nobody carries. Job to what was found."""
    rt, looked_at = runtime(), _reconciler().all()
    for one in looked_at:
        logger.info("job %s: %s %s", one.job.key[:12], one.found, one.message)
    if looked_at:
        create_markdown_artifact(_markdown(looked_at), key="tuning-jobs")
    for key in rt.costs.uncounted():  # of all that has ended, whoever ended it
        _close(rt, rt.jobs.get(key))
    return {one.job.key: one.found.value for one in looked_at}


def _close(rt: Runtime, job: TuningJob) -> None:
    """What the run of a job does at its end, for one whose run is gone."""
    for version in rt.registry.versions():
        if version.job_key == job.key:
            follow_job(rt.registry, version, job.status, message=job.message, now=now())
    record_cost(rt, job)


@task(name="find orphans", **BRIEF)
def find_orphans() -> list[str]:
    """Jobs at providers that no intent accounts for, each in a sentence."""
    providers = sorted({job.spec.provider for job in runtime().jobs.all()})
    told = []
    for name in providers:
        try:
            told += [_orphan(orphan) for orphan in _reconciler().orphans([name])]
        except GatewayTuningError as error:
            logger.warning("%s was not searched for orphans: %s", name, error)
    for sentence in told:
        logger.warning("%s", sentence)
    return told


def stop_jobs_of(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """For `on_cancellation`: the jobs that a cancelled run waits for are cancelled at their providers too."""
    del flow, state
    for job in runtime().jobs.of_run(str(flow_run.id)):
        try:
            told = stop(_reconciler(), job.key, reason=f"its run {flow_run.name} was cancelled")
        except GatewayTuningError as error:
            logger.warning(
                "job %s is to be cancelled and its provider was not reached: %s", job.key[:12], error
            )
        else:
            logger.info("job %s: %s", job.key[:12], told.message or told.found)


def _reconciler() -> Reconciler:
    rt = runtime()
    return Reconciler.of(rt.settings, rt.engine, tell=told_of)


def _orphan(orphan: Orphan) -> str:
    done = "it was asked to stop" if orphan.stopped else "nothing was done"
    return f"{orphan.provider} has job {orphan.job_id} (key {orphan.key[:12]}): {orphan.told}; {done}"


def _markdown(looked_at: list[Reconciled]) -> str:
    lines = [
        "# Tuning jobs that had no end",
        "",
        "| job | provider | status | found | message |",
        "|---|---|---|---|---|",
    ]
    for one in looked_at:
        cells = [one.job.key[:12], one.job.spec.provider, one.job.status, one.found, one.message]
        lines.append(f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)
