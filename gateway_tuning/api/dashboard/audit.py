"""Who did what, and whether the chain of entries is whole."""

from anyio import to_thread
from fastapi import Request
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices

_MANAGE = [allow(Permission.MANAGE)]
_LONGEST_SEQUENCE = 18  # digits
router = page_router()


@router.get("/audit", dependencies=_MANAGE)
def show_audit(request: Request, caller: Caller, services: CallServices, paging: Few) -> Response:
    before = None
    if paging.cursor is not None:
        sequence = paging.cursor.id
        if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= _LONGEST_SEQUENCE):
            raise ProblemError(422, "This cursor is not one of the audit log's")
        before = (paging.cursor.created_at, int(sequence))
    found = services.audit.page(caller.tenant, limit=paging.limit + 1, before=before)
    page = paging.page(request, found, show=lambda one: one, place=lambda one: (one.at, str(one.sequence)))
    return render(request, "audit.html.j2", entries=page.items, next=page.next, first=first_page(request))


@router.post("/audit/verification", dependencies=_MANAGE)
async def verify(request: Request, services: CallServices) -> Response:
    """Reads every entry; one at a time is at work."""
    found = await to_thread.run_sync(services.audit.verify, limiter=services.verifications)
    return render(request, "audit_verification.html.j2", found=found)
