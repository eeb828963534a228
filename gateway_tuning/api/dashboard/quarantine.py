"""Records that were set aside, and a person's word on them."""

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Depends, Path, Query, Request
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import links, set_aside
from gateway_tuning.api.dashboard.lists import ROWS
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import FormData, going_to, page_router, reason_in
from gateway_tuning.api.middleware import request_id
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import Caller, allow, record
from gateway_tuning.api.services import CallServices
from gateway_tuning.feedback.reviews import Reviews

State = Literal["waiting", "accepted", "rejected", "all"]
Stage = Literal["reading", "validation", "trust", "anonymization", ""]
Fingerprint = Annotated[str, Path(max_length=64)]
_PATH = f"{HOME}/quarantine"
_EDIT = [allow(Permission.EDIT)]
_HIGHEST = 2**63 - 1
router = page_router()


@dataclass(frozen=True, slots=True)
class _Wanted:
    state: State = "waiting"
    stage: Stage = ""
    before: Annotated[int | None, Query(ge=1, le=_HIGHEST)] = None

    def address(self, **also: object) -> str:
        kept = {"state": self.state} | ({"stage": self.stage} if self.stage else {})
        return f"{_PATH}?{urlencode(kept | also)}"


@router.get("/quarantine", dependencies=[allow(Permission.VIEW)])
def show_quarantine(
    request: Request, caller: Caller, services: CallServices, wanted: Annotated[_Wanted, Depends()]
) -> Response:
    found = set_aside.page(
        services.engine,
        caller.tenant,
        state=None if wanted.state == "all" else wanted.state,
        stage=wanted.stage or None,
        before=wanted.before,
        limit=ROWS + 1,
    )
    shown = found[:ROWS]
    return render(
        request,
        "quarantine.html.j2",
        entries=shown,
        state=wanted.state,
        stage=wanted.stage,
        next=wanted.address(before=shown[-1].sequence) if len(found) > ROWS else None,
        first=None if wanted.before is None else wanted.address(),
        address=links.set_aside,
    )


@router.get("/quarantine/{fingerprint}", dependencies=[allow(Permission.VIEW)])
def show_set_aside(
    request: Request, caller: Caller, services: CallServices, fingerprint: Fingerprint
) -> Response:
    return _entry(request, caller.tenant, services, fingerprint)


@router.post("/quarantine/{fingerprint}/text", dependencies=_EDIT)
def show_text(request: Request, caller: Caller, services: CallServices, fingerprint: Fingerprint) -> Response:
    """Reading what a person wrote is an act of its own: the audit log says who did."""
    texts = set_aside.texts(services.engine, caller.tenant, fingerprint)
    record(request, "quarantine.read", fingerprint)
    return _entry(request, caller.tenant, services, fingerprint, texts)


@router.post("/quarantine/{fingerprint}", dependencies=_EDIT)
def decide(
    request: Request, caller: Caller, services: CallServices, fingerprint: Fingerprint, form: FormData
) -> Response:
    reviews = Reviews(services.engine)
    decision = form.get("decision")
    if decision not in {"accepted", "rejected"}:
        raise ProblemError(422, "Choose to accept or to reject")
    act = reviews.accept if decision == "accepted" else reviews.reject
    act(
        caller.tenant,
        fingerprint,
        actor=caller.id,
        reason=reason_in(form),
        now=services.now(),
        request_id=request_id(request.scope),
    )
    return going_to(links.set_aside(fingerprint), told=f"quarantine.{decision}")


def _entry(
    request: Request,
    tenant: str,
    services: CallServices,
    fingerprint: str,
    texts: dict[str, str] | None = None,
) -> Response:
    return render(
        request,
        "set_aside.html.j2",
        entry=set_aside.one(services.engine, tenant, fingerprint),
        history=Reviews(services.engine).history(tenant, fingerprint),
        texts=texts,
        links=links,
        address=links.set_aside(fingerprint),
    )
