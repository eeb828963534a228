"""Tuning jobs: how far each is, how its loss goes, how long it still takes, and its end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from markupsafe import Markup
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import FormData, going_to, page_router, reason_in
from gateway_tuning.api.dashboard.spans import lasted
from gateway_tuning.api.security import Caller, allow, record
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.errors import NotFoundError
from gateway_tuning.registry.curves import curves
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import cycles, model_versions
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.cost.entry import CostEntry
from gateway_tuning.training.jobs import JobStore, TuningJob
from gateway_tuning.training.watching.remaining import remaining

_DRAWN = 200  # checkpoints: more are not seen in a curve
_LISTED = 12

router = page_router()


@dataclass(frozen=True, slots=True)
class _Around:
    """What a job belongs to; `cost` is None where nothing was booked."""

    versions: tuple[str, ...]
    cycle_id: str | None
    cost: CostEntry | None
    run_url: str | None


@router.get("/jobs", dependencies=[allow(Permission.VIEW)])
def list_jobs(request: Request, caller: Caller, services: CallServices, few: Few) -> Response:
    found = JobStore(services.engine).page(caller.tenant, limit=few.limit + 1, before=few.before)
    page = few.page(request, found, show=lambda job: job, place=lambda job: (job.created_at, job.key))
    return render(
        request,
        "jobs.html.j2",
        jobs=page.items,
        left=lambda job: remaining(job, services.now()),
        next=page.next,
        first=first_page(request),
        links=links,
    )


@router.get("/jobs/{job_key}", dependencies=[allow(Permission.VIEW)])
def show_job(request: Request, caller: Caller, services: CallServices, job_key: str) -> Response:
    job = JobStore(services.engine).owned(job_key, tenant=caller.tenant)
    series = _series(job)
    return render(
        request,
        "job.html.j2",
        job=job,
        left=remaining(job, services.now()),
        took=_took(job, services.now()),
        lasted=lasted,
        curve=curves("Loss by step", series) if series else Markup(),
        names=sorted({name for point in job.checkpoints for name in point.metrics}),
        points=spread(job.checkpoints, _LISTED),
        around=_around(services, job),
        links=links,
    )


@router.post("/jobs/{job_key}/stop", dependencies=[allow(Permission.EDIT)])
def stop_job(
    request: Request, caller: Caller, services: CallServices, job_key: str, form: FormData
) -> Response:
    """As the API's cancel: its run, or reconcile-jobs within minutes, has the provider stop it."""
    store, reason = JobStore(services.engine), reason_in(form)
    store.owned(job_key, tenant=caller.tenant)
    store.request_stop(job_key, f"cancelled by {caller.id}: {reason}", now=services.now())
    record(request, "training-job.cancel", job_key)
    return going_to(links.job(job_key), told="job.stopping")


def spread(points: tuple[Any, ...], at_most: int) -> list[Any]:
    """Evenly over all, the last one among them."""
    if len(points) <= at_most:
        return list(points)
    last = len(points) - 1
    return [points[round(number * last / (at_most - 1))] for number in range(at_most)]


def _series(job: TuningJob) -> dict[str, list[tuple[int, float]]]:
    """Losses by step."""
    found: dict[str, list[tuple[int, float]]] = {}
    for point in spread(job.checkpoints, _DRAWN):
        for name, value in point.metrics.items():
            if "loss" in name:
                found.setdefault(name.replace("_", " "), []).append((point.step, value))
    return found


def _took(job: TuningJob, now: datetime) -> float | None:
    """Seconds at work; None where it was never seen at work."""
    if job.started_at is None:
        return None
    return ((job.updated_at if job.status.is_terminal else now) - job.started_at).total_seconds()


def _around(services: Services, job: TuningJob) -> _Around:
    made = sa.select(model_versions.c.id).where(
        model_versions.c.job_key == job.key, model_versions.c.tenant == job.tenant
    )
    of_cycle = sa.select(cycles.c.id).where(cycles.c.run_id == job.run_id, cycles.c.tenant == job.tenant)
    with reading(services.engine) as connection:
        versions = tuple(connection.execute(made.order_by(model_versions.c.id)).scalars())
        cycle_id = None if job.run_id is None else connection.execute(of_cycle).scalars().first()
    try:
        cost = CostStore(services.engine).get(job.key, tenant=job.tenant)
    except NotFoundError:
        cost = None
    return _Around(versions, cycle_id, cost, links.prefect_run(services.settings, job.run_id))
