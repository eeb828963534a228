"""The audit log of the caller's tenant, and whether the chain of all entries is whole."""

import re
from datetime import datetime
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from gateway_tuning.access.audit import AuditEntry
from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices

_SEQUENCE = re.compile("[0-9]{1,18}")
router: APIRouter = api_router("audit")


class AuditEntryView(BaseModel):
    sequence: int
    at: datetime
    actor: str = Field(examples=["key:4f2e9d1fbd8a"])
    action: str = Field(examples=["api-key.create"])
    object_id: str
    outcome: str = Field(examples=["done", "denied", "failed"])
    request_id: str | None
    detail: dict[str, Any] = Field(description="Names and figures, never a user's text or id")
    hash: str


class AuditVerificationView(BaseModel):
    intact: bool
    head: str = Field(description="Hash of the newest entry that holds; note it elsewhere from time to time")
    broken_at: int | None = Field(description="Sequence of the first entry that does not fit")
    reason: str | None


@router.get("/audit", dependencies=[allow(Permission.MANAGE)], summary="List audit entries, newest first")
def list_entries(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[AuditEntryView]:
    before = None
    if paging.cursor is not None:
        if not _SEQUENCE.fullmatch(paging.cursor.id):
            raise ProblemError(422, "This cursor is not one of the audit log's")
        before = (paging.cursor.created_at, int(paging.cursor.id))
    entries = services.audit.page(caller.tenant, limit=paging.limit + 1, before=before)
    return paging.page(request, entries, show=_view, place=lambda entry: (entry.at, str(entry.sequence)))


@router.get(
    "/audit/verification",
    dependencies=[allow(Permission.MANAGE)],
    summary="Follow the hash chain of the whole audit log",
)
async def verify(services: CallServices) -> AuditVerificationView:
    """Reads every entry; one such request at a time is at work."""
    found = await to_thread.run_sync(services.audit.verify, limiter=services.verifications)
    return AuditVerificationView(
        intact=found.intact, head=found.head, broken_at=found.broken_at, reason=found.reason
    )


def _view(entry: AuditEntry) -> AuditEntryView:
    event = entry.event
    return AuditEntryView(
        sequence=entry.sequence,
        at=entry.at,
        actor=event.actor,
        action=event.action,
        object_id=event.object_id,
        outcome=event.outcome,
        request_id=event.request_id,
        detail=dict(event.detail),
        hash=entry.hash,
    )
