"""What was set aside, and a person's word on it: use it all the same, or never."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.middleware import request_id
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices
from gateway_tuning.feedback.acceptance import Reviewable, why_unacceptable
from gateway_tuning.feedback.reviews import MAX_REASON, Decision, Review, Reviews
from gateway_tuning.feedback.shaping import short_reason
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import quarantine

if TYPE_CHECKING:
    import sqlalchemy as sa

router: APIRouter = api_router("quarantine")

_VIEW = [allow(Permission.VIEW)]
_EDIT = [allow(Permission.EDIT)]
_REVIEW: dict[str, Any] = {
    "decision": "accepted",
    "reason": "A newsletter asked for these ratings",
    "actor": "user:u-17",
    "at": "2026-11-02T08:10:00Z",
    "stands": True,
}
_ENTRY: dict[str, Any] = {
    "id": "9c56cc51b374c3ba",
    "stage": "trust",
    "position": "fb-7f3a",
    "feedback_id": "fb-7f3a",
    "reasons": ["burst"],
    "created_at": "2026-11-01T09:52:56Z",
    "unacceptable": None,
    "review": _REVIEW,
}


class ReviewReason(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"reason": _REVIEW["reason"]}]}
    )

    reason: str = Field(min_length=1, max_length=MAX_REASON, description="Why; it is kept with the decision")


class ReviewView(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_REVIEW]})

    decision: Decision
    reason: str
    actor: str
    at: datetime
    stands: bool = Field(
        description="False once something else was said under the id: that was not looked at"
    )


class QuarantineView(BaseModel):
    """Where it came from and why; never what it said."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENTRY]})

    id: str = Field(description="Fingerprint of what was set aside")
    stage: str = Field(description="reading, validation, trust or anonymization")
    position: str
    feedback_id: str | None
    reasons: list[str] = Field(description="Without what they quote")
    created_at: datetime
    unacceptable: str | None = Field(description="Why nobody can accept it; null where a person may")
    review: ReviewView | None = Field(description="The newest decision; null where there is none")


@router.get("/quarantine", dependencies=_VIEW, summary="List what was set aside, newest first")
def list_quarantine(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[QuarantineView]:
    rows = newest_first(
        services.engine,
        quarantine,
        tenant=caller.tenant,
        limit=paging.limit + 1,
        before=paging.before,
        key="fingerprint",
    )
    reviews = Reviews(services.engine).latest(caller.tenant, [row.fingerprint for row in rows])
    return paging.page(
        request,
        rows,
        show=lambda row: _view(row, reviews.get(row.fingerprint)),
        place=lambda row: (row.created_at, row.fingerprint),
    )


@router.get(
    "/quarantine/{fingerprint}",
    dependencies=_VIEW,
    responses=responses(404),
    summary="Show a record set aside",
)
def show_set_aside(caller: Caller, services: CallServices, fingerprint: str) -> QuarantineView:
    return _one(services, caller.tenant, fingerprint)


@router.post(
    "/quarantine/{fingerprint}/accept",
    dependencies=_EDIT,
    responses=responses(404, 409, 410),
    summary="Let the next dataset use a record that was set aside",
)
def accept(
    request: Request, caller: Caller, services: CallServices, fingerprint: str, body: ReviewReason
) -> QuarantineView:
    """Only where a rule of ours alone is against it, such as a burst or a limit. The newest decision counts.

    409 says why it cannot be accepted: it cannot be read, it could not be anonymized, or it is no usable record.
    """
    return _decide(
        request, caller.tenant, caller.id, services, fingerprint, body, Reviews(services.engine).accept
    )


@router.post(
    "/quarantine/{fingerprint}/reject",
    dependencies=_EDIT,
    responses=responses(404),
    summary="Keep a record that was set aside out of every dataset to come",
)
def reject(
    request: Request, caller: Caller, services: CallServices, fingerprint: str, body: ReviewReason
) -> QuarantineView:
    """Also where no rule is against it any more, or another decision let it in. The newest decision counts."""
    return _decide(
        request, caller.tenant, caller.id, services, fingerprint, body, Reviews(services.engine).reject
    )


def _decide(  # noqa: PLR0917 - what a decision is
    request: Request,
    tenant: str,
    actor: str,
    services: CallServices,
    fingerprint: str,
    body: ReviewReason,
    decide: Callable[..., Review],
) -> QuarantineView:
    decide(
        tenant,
        fingerprint,
        actor=actor,
        reason=body.reason,
        now=services.now(),
        request_id=request_id(request.scope),
    )
    return _one(services, tenant, fingerprint)


def _one(services: CallServices, tenant: str, fingerprint: str) -> QuarantineView:
    row = owned_row(
        services.engine, quarantine, fingerprint, tenant=tenant, what="record set aside", key="fingerprint"
    )
    return _view(row, Reviews(services.engine).latest(tenant, [fingerprint]).get(fingerprint))


def _view(row: "sa.Row[Any]", review: Review | None) -> QuarantineView:
    entry = Reviewable(row.tenant, row.fingerprint, row.stage, row.reasons, row.raw, row.feedback_id)
    return QuarantineView(
        id=row.fingerprint,
        stage=row.stage,
        position=row.position,
        feedback_id=row.feedback_id,
        reasons=[short_reason(reason) for reason in row.reasons],
        created_at=row.created_at,
        unacceptable=why_unacceptable(entry),
        review=None if review is None else ReviewView.model_validate(review),
    )
