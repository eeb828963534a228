"""Follow runs, stop them, and what starts them has in common."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import PREFIX, Caller, allow, api_router, record
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.errors import OrchestratorError
from gateway_tuning.runs.orchestrator import Orchestrator, RunStatus
from gateway_tuning.runs.run import Run, RunKind
from gateway_tuning.runs.store import RunStore

router: APIRouter = api_router("runs")

_RESULT_PATHS = {
    RunKind.DATASET: "datasets",
    RunKind.EVALUATION: "evaluations",
    RunKind.DRIFT_CHECK: "drift-reports",
    RunKind.CANARY: "canaries",
    RunKind.TUNING_CYCLE: "cycles",
}


class RunView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "run-5b1c9a3e0f7d2468",
                    "kind": "dataset",
                    "status": "succeeded",
                    "message": "",
                    "result_id": "ds-0a1b2c3d4e5f6071",
                    "result": f"{PREFIX}/datasets/ds-0a1b2c3d4e5f6071",
                    "parameters": {"tenant": "default", "watermark": None, "recipe": {"max_records": 5000}},
                    "started_by": "user:u-17",
                    "created_at": "2026-11-01T09:52:56Z",
                    "updated_at": "2026-11-01T09:53:40Z",
                }
            ]
        }
    )

    id: str
    kind: RunKind
    status: RunStatus
    message: str = Field(description="What a person wants to hear of its state")
    result_id: str | None = Field(description="What it made; noted a moment after it succeeded")
    result: str | None = Field(description="Where that is")
    parameters: dict[str, Any]
    started_by: str
    created_at: datetime
    updated_at: datetime


@router.get("/runs", dependencies=[allow(Permission.VIEW)], summary="List runs, newest first")
def list_runs(
    request: Request,
    caller: Caller,
    services: CallServices,
    paging: Paging,
    kind: Annotated[RunKind | None, Query(description="Only runs of this kind")] = None,
) -> Page[RunView]:
    """As last heard of; a single run is asked for anew."""
    found = RunStore(services.engine).page(
        caller.tenant, limit=paging.limit + 1, before=paging.before, kind=kind
    )
    return paging.page(request, found, show=view, place=lambda run: (run.created_at, run.id))


@router.get(
    "/runs/{run_id}", dependencies=[allow(Permission.VIEW)], responses=responses(404), summary="Show a run"
)
def show_run(caller: Caller, services: CallServices, run_id: str) -> RunView:
    store = RunStore(services.engine)
    run = store.get(run_id, tenant=caller.tenant)
    if services.orchestrator is None:
        return view(run)
    try:
        return view(store.refresh(run, services.orchestrator, now=services.now()))
    except OrchestratorError as error:
        told = f"as of {run.updated_at:%Y-%m-%d %H:%M:%S} UTC; {error}"
        return view(run).model_copy(update={"message": told})


@router.post(
    "/runs/{run_id}/cancel",
    dependencies=[allow(Permission.EDIT)],
    responses=responses(404, 409),
    summary="Stop a run",
)
def cancel_run(request: Request, caller: Caller, services: CallServices, run_id: str) -> RunView:
    """One that has ended stays as it ended. One that runs ends within seconds; ask for it again."""
    store = RunStore(services.engine)
    run = store.get(run_id, tenant=caller.tenant)
    cancelled = store.cancel(run, services.orchestrator, by=caller.id, now=services.now())
    record(request, "run.cancel", run.id, detail={"kind": run.kind.value})
    return view(cancelled)


def required(services: Services) -> Orchestrator:
    """Raises OrchestratorError where nobody runs flows."""
    if services.orchestrator is None:
        raise OrchestratorError(
            "This service starts no runs: no Prefect server is configured. Set PREFECT_API_URL"
        )
    return services.orchestrator


def begin(services: Services, run: Run) -> Run:
    """Start a run that is written down. Raises OrchestratorError, which says that it is not lost."""
    try:
        return RunStore(services.engine).start(run, required(services), now=services.now())
    except OrchestratorError as error:
        raise OrchestratorError(
            f"Run {run.id} is written down and not started: {error}. It starts once Prefect answers, within minutes; "
            f"follow it at {PREFIX}/runs/{run.id}, or send this request again with the same Idempotency-Key"
        ) from error


def view(run: Run) -> RunView:
    return RunView(
        id=run.id,
        kind=run.kind,
        status=run.status,
        message=run.message,
        result_id=run.result_id,
        result=_result_path(run),
        parameters=run.parameters,
        started_by=run.started_by,
        created_at=run.created_at,
        updated_at=run.updated_at,
    )


def _result_path(run: Run) -> str | None:
    if run.result_id is None:
        return None
    if run.kind is RunKind.TRAINING_JOB:
        return f"{PREFIX}/models/{run.parameters['model']}/versions/{run.result_id}"
    return f"{PREFIX}/{_RESULT_PATHS[run.kind]}/{run.result_id}"
