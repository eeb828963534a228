"""What waits for an administrator's word. The word is taken as the API takes it."""

from typing import Annotated

from fastapi import Path as InPath
from fastapi import Request
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api import approvals as api
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import FormData, going_to, page_router, reason_in
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices
from gateway_tuning.rollout import canary_rows
from gateway_tuning.runs.approvals import Approval, ApprovalState, ApprovalStore

_DECISIONS = {"approve": "approval.approved", "reject": "approval.rejected"}
_PATH = f"{HOME}/approvals"
router = page_router()


@router.get("/approvals", dependencies=[allow(Permission.DEPLOY)])
def show_approvals(
    request: Request, caller: Caller, services: CallServices, paging: Few, state: ApprovalState | None = None
) -> Response:
    store = ApprovalStore(services.engine)
    found = store.page(caller.tenant, limit=paging.limit + 1, before=paging.before, state=state)
    page = paging.page(request, found, show=lambda one: one, place=lambda one: (one.created_at, one.id))
    return render(
        request,
        "approvals.html.j2",
        approvals=page.items,
        own={
            one.id
            for one in page.items
            if one.state is ApprovalState.PENDING and not store.may_approve(one, caller.id)
        },
        state=state,
        next=page.next,
        first=first_page(request),
        awaiting=awaiting,
        address=lambda one: f"{_PATH}/{one.id}",
    )


@router.post("/approvals/{approval_id}", dependencies=[allow(Permission.DEPLOY)])
def decide(
    request: Request,
    caller: Caller,
    services: CallServices,
    approval_id: Annotated[str, InPath(max_length=40)],
    form: FormData,
) -> Response:
    decision = form.get("decision")
    if decision != "approve" and decision != "reject":  # noqa: PLR1714 - the type checker follows this alone
        raise ProblemError(422, "Choose to approve or to reject")
    word = api.ApprovalDecision(decision=decision, comment=reason_in(form))
    api.decide(request, caller, services, approval_id, word)
    return going_to(_PATH, told=_DECISIONS[decision])


def awaiting(approval: Approval) -> tuple[str, str | None]:
    """What waits, and the page that shows it; a run that waits has none."""
    if approval.awaited_by == "cycle":
        return f"cycle {approval.awaited_id}", links.cycle(approval.awaited_id)
    if approval.awaited_by == canary_rows.AWAITED_BY:
        canary_id, share = canary_rows.awaited(approval.awaited_id)
        return f"{canary_id}, {'the promotion' if share >= 1 else f'{share:.0%} of users'}", links.canary(
            canary_id
        )
    return approval.awaited_id, None
