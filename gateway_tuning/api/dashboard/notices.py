"""What people are told of, and whether it reached them."""

from fastapi import Request
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices
from gateway_tuning.notices.notice import Kind, Notice
from gateway_tuning.notices.store import NoticeStore

router = page_router()


@router.get("/notices", dependencies=[allow(Permission.VIEW)])
def show_notices(request: Request, caller: Caller, services: CallServices, paging: Few) -> Response:
    found = NoticeStore(services.engine).page(caller.tenant, limit=paging.limit + 1, before=paging.before)
    page = paging.page(
        request, found, show=lambda one: one, place=lambda one: (one.created_at, one.notice.id)
    )
    return render(
        request,
        "notices.html.j2",
        notices=page.items,
        next=page.next,
        first=first_page(request),
        address=address,
    )


def address(notice: Notice) -> str | None:
    """The page of what it is about, where there is one."""
    if notice.object_id is None:
        return None
    known = {
        Kind.GATE: links.cycle,
        Kind.CANARY: links.canary,
        Kind.DRIFT: links.drift_report,
    }
    if notice.kind is Kind.APPROVAL:
        return f"{HOME}/approvals"
    if notice.kind is Kind.COST:
        return f"{HOME}/costs"
    return known[notice.kind](notice.object_id) if notice.kind in known else None
