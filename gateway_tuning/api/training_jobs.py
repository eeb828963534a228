"""Tuning jobs at their providers: how they stand, and their end."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router, record
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import tuning_jobs
from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.jobs import JobStore

router: APIRouter = api_router("training-jobs")

_VIEW = [allow(Permission.VIEW)]


class TuningJobView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "key": "4f2e9d1fbd8a" + "0" * 52,
                    "provider": "llama",
                    "spec": {"base_model": "SmolLM2-135M-Instruct", "dataset_id": "ds-0a1b2c3d4e5f6071"},
                    "status": "succeeded",
                    "message": "finished after step 120",
                    "metrics": {"train_loss": 1.31, "tokens": 81234.0},
                    "provider_job_id": "4f2e9d1fbd8a",
                    "progress": 1.0,
                    "stale_since": None,
                    "stop_requested_at": None,
                    "stop_reason": None,
                    "created_at": "2026-11-01T09:52:56Z",
                    "updated_at": "2026-11-01T10:12:01Z",
                }
            ]
        },
        from_attributes=True,
    )

    key: str
    provider: str
    spec: dict[str, Any] = Field(description="Base model, dataset, method, hyperparameters and seed")
    status: JobStatus
    message: str
    metrics: dict[str, float]
    provider_job_id: str | None = Field(description="Null while it is not known whether the provider has it")
    progress: float | None = Field(description="In [0, 1]; null where the provider does not say")
    stale_since: datetime | None = Field(description="It has told nothing new for hours")
    stop_requested_at: datetime | None
    stop_reason: str | None = Field(description="A person's word, a limit of the plan, or early stopping")
    created_at: datetime
    updated_at: datetime


@router.get("/training-jobs", dependencies=_VIEW, summary="List tuning jobs, newest first")
def list_jobs(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[TuningJobView]:
    rows = newest_first(
        services.engine,
        tuning_jobs,
        tenant=caller.tenant,
        limit=paging.limit + 1,
        before=paging.before,
        key="key",
    )
    return paging.page(
        request, rows, show=TuningJobView.model_validate, place=lambda row: (row.created_at, row.key)
    )


@router.get(
    "/training-jobs/{job_key}", dependencies=_VIEW, responses=responses(404), summary="Show a tuning job"
)
def show_job(caller: Caller, services: CallServices, job_key: str) -> TuningJobView:
    return _owned(services, caller.tenant, job_key)


@router.post(
    "/training-jobs/{job_key}/cancel",
    dependencies=[allow(Permission.EDIT)],
    responses=responses(404),
    summary="Stop a tuning job",
)
def cancel_job(request: Request, caller: Caller, services: CallServices, job_key: str) -> TuningJobView:
    """Its run, or reconcile-jobs within minutes, has the provider stop it; it has ended once the provider says so.

    One that has ended stays as it ended.
    """
    _owned(services, caller.tenant, job_key)
    JobStore(services.engine).request_stop(job_key, f"cancelled by {caller.id}", now=services.now())
    record(request, "training-job.cancel", job_key)
    return _owned(services, caller.tenant, job_key)


def _owned(services: Services, tenant: str, job_key: str) -> TuningJobView:
    """Raises NotFoundError."""
    row = owned_row(services.engine, tuning_jobs, job_key, tenant=tenant, what="tuning job", key="key")
    return TuningJobView.model_validate(row)
