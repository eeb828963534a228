"""What people do to a canary. `rollout/actions.py` says what each may, and when."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.ancestry import same_person
from gateway_tuning.access.audit import Outcome
from gateway_tuning.access.permissions import Permission
from gateway_tuning.access.principal import Principal
from gateway_tuning.api.canaries import CanaryWithActions, with_actions
from gateway_tuning.api.problems import ProblemError, responses
from gateway_tuning.api.security import Caller, allow, api_router, audit_event, record
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.rollout.actions import CanaryActions
from gateway_tuning.storage.database import reading

router: APIRouter = api_router("rollouts")

_DEPLOY = [allow(Permission.DEPLOY)]
_LONGEST = 1000


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CanaryApproval(_Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"share": 0.25, "comment": "Figures are fine"}]}
    )

    share: float = Field(gt=0, le=1, description="What the canary awaits; 1 is the promotion")
    comment: str | None = Field(None, min_length=1, max_length=_LONGEST)


class CanaryRejection(_Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"comment": "Answers are too terse"}]})

    comment: str | None = Field(None, min_length=1, max_length=_LONGEST)


class CanaryAbort(_Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Complaints about wrong prices"}]})

    reason: str = Field(min_length=1, max_length=_LONGEST, description="Kept with the canary")


class CanaryOverride(_Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"share": 1, "comment": "Too few users to wait for"}]}
    )

    share: float = Field(
        gt=0, le=1, description="Its next step; 1 is the promotion, also of an inconclusive one"
    )
    comment: str | None = Field(None, min_length=1, max_length=_LONGEST)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call about one canary of the caller's tenant."""

    request: Request
    caller: Principal
    services: Services
    canary_id: str
    action: str

    def require_outsider(self) -> None:
        """Raises ProblemError 403, with an entry in the audit log, where the caller started it."""
        started_by = self.view().started_by
        if started_by is None:
            return
        with reading(self.services.engine) as connection:
            own = same_person(connection, self.caller.id, started_by)
        if own:
            record(self.request, f"canary.{self.action}", self.canary_id, outcome=Outcome.DENIED)
            raise ProblemError(
                403,
                f"You started canary {self.canary_id} yourself; another administrator must {self.action} it",
            )

    def audited(self, share: float | None = None) -> Callable[[sa.Connection], object]:
        shown = self.view()
        detail: dict[str, object] = {"model": shown.model, "candidate": shown.candidate}
        if share is not None:
            detail["share"] = share
        event = audit_event(self.request, f"canary.{self.action}", self.canary_id, detail=detail)
        now = self.services.now()
        return lambda connection: self.services.audit.append_in(connection, event, now=now)

    def view(self) -> CanaryWithActions:
        """Raises NotFoundError."""
        return with_actions(self.services, self.canary_id, tenant=self.caller.tenant)

    @property
    def actions(self) -> CanaryActions:
        return CanaryActions(self.services.engine)


@router.post(
    "/canaries/{canary_id}/approve",
    dependencies=_DEPLOY,
    responses=responses(404, 409),
    summary="Approve a share of users",
)
def approve(
    request: Request, caller: Caller, services: CallServices, canary_id: str, body: CanaryApproval
) -> CanaryWithActions:
    """It is served up to the next share that its policy wants approved. Not for whoever started it."""
    call = _Call(request, caller, services, canary_id, "approve")
    call.require_outsider()
    call.actions.approve(
        canary_id,
        body.share,
        by=caller.id,
        now=services.now(),
        comment=body.comment,
        also=call.audited(body.share),
    )
    return call.view()


@router.post(
    "/canaries/{canary_id}/reject",
    dependencies=_DEPLOY,
    responses=responses(404, 409),
    summary="End a canary instead of approving it",
)
def reject(
    request: Request, caller: Caller, services: CallServices, canary_id: str, body: CanaryRejection
) -> CanaryWithActions:
    call = _Call(request, caller, services, canary_id, "reject")
    call.actions.reject(
        canary_id, by=caller.id, now=services.now(), comment=body.comment, also=call.audited()
    )
    return call.view()


@router.post(
    "/canaries/{canary_id}/abort",
    dependencies=_DEPLOY,
    responses=responses(404, 409),
    summary="Take all users back at once",
)
def abort(
    request: Request, caller: Caller, services: CallServices, canary_id: str, body: CanaryAbort
) -> CanaryWithActions:
    """Whoever aborts again what they aborted changes nothing."""
    call = _Call(request, caller, services, canary_id, "abort")
    call.actions.abort(canary_id, by=caller.id, reason=body.reason, now=services.now(), also=call.audited())
    return call.view()


@router.post(
    "/canaries/{canary_id}/override",
    dependencies=_DEPLOY,
    responses=responses(404, 409, 410),
    summary="Want the next step although a look holds it",
)
def override(
    request: Request, caller: Caller, services: CallServices, canary_id: str, body: CanaryOverride
) -> CanaryWithActions:
    """It takes two people, neither of whom started it, and never goes over harm or findings that are worth nothing."""
    call = _Call(request, caller, services, canary_id, "override")
    call.require_outsider()
    call.actions.override(
        canary_id,
        body.share,
        by=caller.id,
        now=services.now(),
        comment=body.comment,
        also=call.audited(body.share),
    )
    return call.view()
