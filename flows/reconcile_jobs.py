"""Tuning jobs whose run is gone: adopted, watched, ended. Scheduled every five minutes; one look at each, no waiting."""

from prefect import flow

from tasks import jobs
from tasks.patience import FLOW_BRIEF_S


@flow(name="reconcile-jobs", timeout_seconds=FLOW_BRIEF_S)
def reconcile_jobs() -> dict[str, list[str]]:
    """What was found of each unfinished job, and what is at a provider without an intent. Nothing is created."""
    return {
        "jobs": [f"{key[:12]}: {found}" for key, found in jobs.reconcile().items()],
        "orphans": jobs.find_orphans(),
    }
