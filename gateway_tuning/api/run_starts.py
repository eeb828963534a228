"""Start runs. What starts is written down first; `runs.store` says what a retry does."""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel

from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal
from gateway_tuning.api.problems import responses
from gateway_tuning.api.run_requests import (
    CanaryRequest,
    DatasetRequest,
    DriftCheckRequest,
    EvaluationRequest,
    TrainingJobRequest,
    TuningCycleRequest,
)
from gateway_tuning.api.runs import RunView, begin, required, view
from gateway_tuning.api.security import PREFIX, Caller, allow, api_router, audit_event
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.errors import ConfigurationError, ConflictError
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.registry.model_version import STABLE
from gateway_tuning.registry.store import Registry
from gateway_tuning.runs.approvals import ApprovalStore
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


@dataclass(frozen=True, slots=True)
class Awaited:
    model: str
    candidate: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Parameters of the flow, and the approval that it awaits, if any."""

    parameters: dict[str, Any]
    approval: Awaited | None = None


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts the run that one request asks for."""

    request: Request
    response: Response
    caller: Principal
    services: Services
    key: str | None
    run_id: str = field(default_factory=lambda: f"run-{secrets.token_hex(8)}")

    @property
    def mine(self) -> Ownership:
        return Ownership(self.services.engine, self.caller.tenant)

    def __call__(self, kind: RunKind, body: BaseModel, prepare: Callable[[], Prepared]) -> RunView:
        """`prepare` is asked only for a request that is new: one that is sent again finds its run, come what may."""
        required(self.services)
        digest = _sha256(kind, body)
        run = RunStore(self.services.engine).recall(self.caller.tenant, self.key, digest)
        if run is None:
            prepared = prepare()
            intent = Intent(
                id=self.run_id,
                tenant=self.caller.tenant,
                kind=kind,
                parameters=prepared.parameters,
                started_by=self.caller.id,
                request_sha256=digest,
                idempotency_key=self.key,
            )
            run = self._write(intent, prepared.approval)
        self.response.headers["location"] = f"{PREFIX}/runs/{run.id}"
        return view(begin(self.services, run))

    def _write(self, intent: Intent, approval: Awaited | None) -> Run:
        now = self.services.now()
        event = audit_event(self.request, "run.start", intent.id, detail={"kind": intent.kind.value})

        def also(connection: sa.Connection) -> None:
            self.services.audit.append_in(connection, event, now=now)

        if approval is None:
            return RunStore(self.services.engine).intend(intent, now=now, also=also)
        return ApprovalStore(self.services.engine).request_run(
            intent,
            model=approval.model,
            candidate=approval.candidate,
            reasons=approval.reasons,
            now=now,
            also=also,
        )


def _starter(
    request: Request,
    response: Response,
    caller: Caller,
    services: CallServices,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="The same key and body again give the same run, not another one",
        ),
    ] = None,
) -> Starter:
    return Starter(request, response, caller, services, idempotency_key)


Starting = Annotated[Starter, Depends(_starter)]


@router.post("/datasets", dependencies=[allow(Permission.CREATE)], summary="Build a dataset", **_STARTED)
def build_dataset(start: Starting, body: DatasetRequest) -> RunView:
    def prepare() -> Prepared:
        return Prepared({"tenant": start.caller.tenant, **body.model_dump(mode="json")})

    return start(RunKind.DATASET, body, prepare)


@router.post("/training-jobs", dependencies=[allow(Permission.CREATE)], summary="Train a model", **_STARTED)
def train_model(start: Starting, body: TrainingJobRequest) -> RunView:
    """The same dataset and plan are trained once, however often this is asked for."""

    def prepare() -> Prepared:
        start.mine.dataset(body.dataset_id)
        start.mine.free_or_mine(body.model)
        return Prepared(body.model_dump(mode="json"))

    return start(RunKind.TRAINING_JOB, body, prepare)


@router.post(
    "/evaluations",
    dependencies=[allow(Permission.EVALUATE)],
    summary="Compare two model versions",
    **_STARTED,
)
def evaluate_model(start: Starting, body: EvaluationRequest) -> RunView:
    def prepare() -> Prepared:
        start.mine.candidate(body.candidate)
        start.mine.version(body.baseline)
        start.mine.dataset(body.dataset_id)
        return Prepared(body.model_dump(mode="json"))

    return start(RunKind.EVALUATION, body, prepare)


@router.post(
    "/drift-checks", dependencies=[allow(Permission.EVALUATE)], summary="Check for drift", **_STARTED
)
def check_drift(start: Starting, body: DriftCheckRequest) -> RunView:
    def prepare() -> Prepared:
        start.mine.dataset(body.dataset_id)
        start.mine.version(body.stable)
        return Prepared(body.model_dump(mode="json"))

    return start(RunKind.DRIFT_CHECK, body, prepare)


@router.post(
    "/tuning-cycles", dependencies=[allow(Permission.CREATE)], summary="Run the whole tuning loop", **_STARTED
)
def run_tuning_cycle(start: Starting, body: TuningCycleRequest) -> RunView:
    """Its gate asks for an approval unless the service is set up without and the caller may deploy."""

    def prepare() -> Prepared:
        start.mine.free_or_mine(body.model)
        plan = body.plan(start.caller.tenant)
        free = start.caller.may(Permission.DEPLOY) and not start.services.settings.require_canary_approval
        if not free:
            plan = plan.model_copy(update={"gate": plan.gate.model_copy(update={"requires_approval": True})})
        return Prepared({"plan": plan.model_dump(mode="json")})

    return start(RunKind.TUNING_CYCLE, body, prepare)


@router.post(
    "/deployments/canary",
    dependencies=[allow(Permission.DEPLOY)],
    summary="Let a candidate meet a few users",
    **_STARTED,
)
def deploy_canary(start: Starting, body: CanaryRequest) -> RunView:
    """It waits for another administrator's approval first, unless the service is set up without."""
    return start(RunKind.CANARY, body, lambda: _canary(start, body))


def _canary(start: Starter, body: CanaryRequest) -> Prepared:
    mine = start.mine
    mine.model(body.model)
    stable = Registry(start.services.engine).resolve(body.model, STABLE)
    candidate, control = mine.candidate(body.candidate), mine.version(body.control or stable.id)
    if {candidate.model, control.model} != {body.model}:
        raise ConfigurationError(f"{candidate.id} and {control.id} are not both versions of {body.model}")
    if control.id != stable.id or candidate.id == stable.id:
        raise ConflictError(
            f"The control must be the stable version {stable.id}, and the candidate another one"
        )
    parameters = {
        "canary_id": f"canary-{start.run_id}",
        "model": body.model,
        "candidate": candidate.id,
        "control": control.id,
        "policy": body.resolved_policy.model_dump(mode="json"),
    }
    if not start.services.settings.require_canary_approval:
        return Prepared(parameters)
    reasons = _evidence(start.services.engine, start.caller.tenant, candidate.id, control.id)
    return Prepared(parameters, Awaited(body.model, candidate.id, reasons))


def _sha256(kind: RunKind, body: BaseModel) -> str:
    asked = json.dumps([kind.value, body.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()


def _evidence(engine: sa.Engine, tenant: str, candidate: str, control: str) -> tuple[str, ...]:
    """What is known of the candidate, for whoever has to approve it."""
    compared = (evaluations.c.candidate == candidate, evaluations.c.baseline == control)
    found = newest_first(engine, evaluations, tenant=tenant, limit=1, where=compared)
    if not found:
        return (f"no evaluation of {candidate} against {control} is known",)
    result = read_result(found[0].result)
    comparison = result.comparison(result.primary)
    told = "no difference could be computed"
    if comparison is not None and comparison.difference.low is not None:
        by = comparison.difference
        told = f"{result.primary.replace('_', ' ')} {by.mean:+.3f} ({by.low:+.3f} to {by.high:+.3f})"
    return (f"evaluation {found[0].id} is {result.state}: {told}", *result.reasons)
