"""Approvals: what waits for an administrator's word, and the word."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.audit import Outcome
from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import ProblemError, responses
from gateway_tuning.api.runs import RunView, begin, required, view
from gateway_tuning.api.security import Caller, allow, api_router, audit_event, record
from gateway_tuning.api.services import CallServices
from gateway_tuning.runs.approvals import Approval, ApprovalState, ApprovalStore, Decision

router: APIRouter = api_router("approvals")

_PENDING: dict[str, Any] = {
    "id": "approval-5b1c9a3e0f7d2468",
    "model": "assistant",
    "candidate": "assistant@4f2e9d1fbd8a",
    "awaited_by": "cycle",
    "awaited_id": "0a1b2c3d4e5f6071",
    "requested_by": "user:u-17",
    "reasons": ["better than +0.000: similarity +0.081 (interval +0.052 to +0.110, on 120 examples)"],
    "state": "pending",
    "decided_by": None,
    "comment": None,
    "created_at": "2026-11-01T09:52:56Z",
    "decided_at": None,
}


class ApprovalDecision(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"decision": "approve", "comment": "Reviewed the worst samples"}]},
    )

    decision: Decision
    comment: str | None = Field(None, min_length=1, max_length=1000)


class ApprovalView(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_PENDING]})

    id: str
    model: str
    candidate: str
    awaited_by: str = Field(description="cycle or run")
    awaited_id: str
    requested_by: str = Field(description="Whoever it was: they cannot approve it alone")
    reasons: list[str] = Field(description="What is known of the candidate")
    state: ApprovalState
    decided_by: str | None
    comment: str | None
    created_at: datetime
    decided_at: datetime | None


class DecidedApproval(ApprovalView):
    model_config = ConfigDict(json_schema_extra={"examples": [_PENDING | {"state": "approved", "run": None}]})

    run: RunView | None = Field(description="What goes on, or was cancelled; null where a cycle was rejected")


@router.get("/approvals", dependencies=[allow(Permission.DEPLOY)], summary="List approvals, newest first")
def list_approvals(
    request: Request,
    caller: Caller,
    services: CallServices,
    paging: Paging,
    state: Annotated[ApprovalState | None, Query(description="Only those in this state")] = None,
) -> Page[ApprovalView]:
    found = ApprovalStore(services.engine).page(
        caller.tenant, limit=paging.limit + 1, before=paging.before, state=state
    )
    return paging.page(request, found, show=_view, place=lambda one: (one.created_at, one.id))


@router.get(
    "/approvals/{approval_id}",
    dependencies=[allow(Permission.DEPLOY)],
    responses=responses(404),
    summary="Show an approval",
)
def show_approval(caller: Caller, services: CallServices, approval_id: str) -> ApprovalView:
    return _view(ApprovalStore(services.engine).get(approval_id, tenant=caller.tenant))


@router.post(
    "/approvals/{approval_id}",
    dependencies=[allow(Permission.DEPLOY)],
    responses=responses(404, 409, 413),
    summary="Approve or reject",
)
def decide(
    request: Request, caller: Caller, services: CallServices, approval_id: str, body: ApprovalDecision
) -> DecidedApproval:
    """One decision counts. Whoever asked may take it back by rejecting it, and cannot approve it."""
    store = ApprovalStore(services.engine)
    approval = store.get(approval_id, tenant=caller.tenant)
    if body.decision == "approve":
        required(services)
        if not store.may_approve(approval, caller.id):
            record(request, "approval.approve", approval_id, outcome=Outcome.DENIED)
            raise ProblemError(
                403, f"You asked for approval {approval_id} yourself; another administrator must approve it"
            )
    now = services.now()
    detail = {"awaited_by": approval.awaited_by, "awaited_id": approval.awaited_id}
    event = audit_event(request, f"approval.{body.decision}", approval_id, detail=detail)
    decided, run = store.decide(
        approval_id,
        body.decision,
        tenant=caller.tenant,
        by=caller.id,
        comment=body.comment,
        now=now,
        also=lambda connection: services.audit.append_in(connection, event, now=now),
    )
    going_on = run if run is None or body.decision == "reject" else begin(services, run)
    return DecidedApproval(**_view(decided).model_dump(), run=None if going_on is None else view(going_on))


def _view(approval: Approval) -> ApprovalView:
    return ApprovalView.model_validate(approval)
