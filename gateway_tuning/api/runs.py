"""Start runs, follow them, stop them. What starts is written down first; `runs.store` says what a retry does."""

import hashlib
import json
import secrets
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.run_requests import (
    CanaryRequest,
    DatasetRequest,
    DriftCheckRequest,
    EvaluationRequest,
    TrainingJobRequest,
    TuningCycleRequest,
)
from gateway_tuning.api.security import PREFIX, Caller, allow, api_router, audit_event, record
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.errors import ConfigurationError, ConflictError, OrchestratorError
from gateway_tuning.registry.model_version import STABLE
from gateway_tuning.registry.store import Registry
from gateway_tuning.runs.approvals import ApprovalStore
from gateway_tuning.runs.orchestrator import Orchestrator, RunStatus
from gateway_tuning.runs.ownership import Ownership
from gateway_tuning.runs.run import Intent, Run, RunKind
from gateway_tuning.runs.store import RunStore
from gateway_tuning.storage.paging import newest_first
from gateway_tuning.storage.tables import evaluations

router: APIRouter = api_router("runs")

_STARTED: dict[str, Any] = {
    "status_code": HTTPStatus.ACCEPTED,
    "responses": {
        **responses(404, 409, 410, 413),
        202: {
            "description": "Written down, and started unless it awaits an approval",
            "headers": {"Location": {"description": "The run", "schema": {"type": "string"}}},
        },
    },
}
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="The same key and body again give the same run, not another one",
    ),
]
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


@router.post("/datasets", dependencies=[allow(Permission.CREATE)], summary="Build a dataset", **_STARTED)
def build_dataset(
    request: Request,
    response: Response,
    caller: Caller,
    services: CallServices,
    body: DatasetRequest,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    parameters = {"tenant": caller.tenant, **body.model_dump(mode="json")}
    intent = _intent(caller, RunKind.DATASET, parameters, body, idempotency_key)
    return _start(request, response, services, intent)


@router.post("/training-jobs", dependencies=[allow(Permission.CREATE)], summary="Train a model", **_STARTED)
def train_model(
    request: Request,
    response: Response,
    caller: Caller,
    services: CallServices,
    body: TrainingJobRequest,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """The same dataset and plan are trained once, however often this is asked for."""
    mine = Ownership(services.engine, caller.tenant)
    mine.dataset(body.dataset_id)
    mine.free_or_mine(body.model)
    intent = _intent(caller, RunKind.TRAINING_JOB, body.model_dump(mode="json"), body, idempotency_key)
    return _start(request, response, services, intent)


@router.post(
    "/evaluations",
    dependencies=[allow(Permission.EVALUATE)],
    summary="Compare two model versions",
    **_STARTED,
)
def evaluate_model(
    request: Request,
    response: Response,
    caller: Caller,
    services: CallServices,
    body: EvaluationRequest,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    mine = Ownership(services.engine, caller.tenant)
    mine.candidate(body.candidate)
    mine.version(body.baseline)
    mine.dataset(body.dataset_id)
    intent = _intent(caller, RunKind.EVALUATION, body.model_dump(mode="json"), body, idempotency_key)
    return _start(request, response, services, intent)


@router.post(
    "/drift-checks", dependencies=[allow(Permission.EVALUATE)], summary="Check for drift", **_STARTED
)
def check_drift(
    request: Request,
    response: Response,
    caller: Caller,
    services: CallServices,
    body: DriftCheckRequest,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    mine = Ownership(services.engine, caller.tenant)
    mine.dataset(body.dataset_id)
    mine.version(body.stable)
    intent = _intent(caller, RunKind.DRIFT_CHECK, body.model_dump(mode="json"), body, idempotency_key)
    return _start(request, response, services, intent)


@router.post(
    "/tuning-cycles", dependencies=[allow(Permission.CREATE)], summary="Run the whole tuning loop", **_STARTED
)
def run_tuning_cycle(
    request: Request,
    response: Response,
    caller: Caller,
    services: CallServices,
    body: TuningCycleRequest,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    Ownership(services.engine, caller.tenant).free_or_mine(body.model)
    plan = body.plan(caller.tenant).model_dump(mode="json")
    intent = _intent(caller, RunKind.TUNING_CYCLE, {"plan": plan}, body, idempotency_key)
    return _start(request, response, services, intent)


@router.post(
    "/deployments/canary",
    dependencies=[allow(Permission.DEPLOY)],
    summary="Let a candidate meet a few users",
    **_STARTED,
)
def deploy_canary(
    request: Request,
    response: Response,
    caller: Caller,
    services: CallServices,
    body: CanaryRequest,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """It waits for another administrator's approval first, unless the service is set up without."""
    mine = Ownership(services.engine, caller.tenant)
    mine.model(body.model)
    stable = Registry(services.engine).resolve(body.model, STABLE)
    candidate, control = mine.candidate(body.candidate), mine.version(body.control or stable.id)
    if {candidate.model, control.model} != {body.model}:
        raise ConfigurationError(f"{candidate.id} and {control.id} are not both versions of {body.model}")
    if control.id != stable.id or candidate.id == stable.id:
        raise ConflictError(
            f"The control must be the stable version {stable.id}, and the candidate another one"
        )
    parameters = {
        "model": body.model,
        "candidate": candidate.id,
        "control": control.id,
        "policy": body.resolved_policy.model_dump(mode="json"),
    }
    intent = _intent(caller, RunKind.CANARY, parameters, body, idempotency_key)
    intent.parameters["canary_id"] = f"canary-{intent.id}"
    reasons = _evidence(services.engine, caller.tenant, candidate.id, control.id)
    awaited = (body.model, candidate.id, reasons) if services.settings.require_canary_approval else None
    return _start(request, response, services, intent, awaited=awaited)


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


def _intent(
    caller: Principal, kind: RunKind, parameters: dict[str, Any], body: BaseModel, key: str | None
) -> Intent:
    asked = json.dumps([kind.value, body.model_dump(mode="json")], sort_keys=True)
    return Intent(
        id=f"run-{secrets.token_hex(8)}",
        tenant=caller.tenant,
        kind=kind,
        parameters=parameters,
        started_by=caller.id,
        request_sha256=hashlib.sha256(asked.encode()).hexdigest(),
        idempotency_key=key,
    )


def _start(
    request: Request,
    response: Response,
    services: Services,
    intent: Intent,
    *,
    awaited: tuple[str, str, tuple[str, ...]] | None = None,
) -> RunView:
    """`awaited` is the model, the candidate and the reasons for whoever has to approve."""
    required(services)
    now = services.now()
    event = audit_event(request, "run.start", intent.id, detail={"kind": intent.kind.value})

    def also(connection: sa.Connection) -> None:
        services.audit.append_in(connection, event, now=now)

    if awaited is None:
        run = RunStore(services.engine).intend(intent, now=now, also=also)
    else:
        model, candidate, reasons = awaited
        run = ApprovalStore(services.engine).request_run(
            intent, model=model, candidate=candidate, reasons=reasons, now=now, also=also
        )
    response.headers["location"] = f"{PREFIX}/runs/{run.id}"
    return view(begin(services, run))


def _evidence(engine: sa.Engine, tenant: str, candidate: str, control: str) -> tuple[str, ...]:
    """What is known of the candidate, for whoever has to approve it."""
    compared = (evaluations.c.candidate == candidate, evaluations.c.baseline == control)
    found = newest_first(engine, evaluations, tenant=tenant, limit=1, where=compared)
    if not found:
        return (f"no evaluation of {candidate} against {control} is known",)
    difference = found[0].result["similarity"]
    known = difference["mean"] is not None and difference["low"] is not None
    told = (
        f"similarity {difference['mean']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})"
        if known
        else "no difference could be computed"
    )
    return (f"evaluation {found[0].id} is {found[0].result['state']}: {told}",)


def _result_path(run: Run) -> str | None:
    if run.result_id is None:
        return None
    if run.kind is RunKind.TRAINING_JOB:
        return f"{PREFIX}/models/{run.parameters['model']}/versions/{run.result_id}"
    return f"{PREFIX}/{_RESULT_PATHS[run.kind]}/{run.result_id}"
