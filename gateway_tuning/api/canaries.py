"""Canaries: how far a candidate has come with users, and why."""

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.rollout.actions import Action, CanaryActions
from gateway_tuning.rollout.canary import Look, State
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.reporting.page import content_policy, render_html
from gateway_tuning.rollout.reporting.story import newest_looks, read_story
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import canaries
from gateway_tuning.training.cost.price_file import price_book

router: APIRouter = api_router("rollouts")

_VIEW = [allow(Permission.VIEW)]
_CANARY: dict[str, Any] = {
    "id": "canary-0a1b2c3d4e5f6071",
    "model": "assistant",
    "candidate": "assistant@4f2e9d1fbd8a",
    "control": "assistant@SmolLM2-135M-Instruct",
    "policy": {"stages": [0.05, 0.25, 0.5], "approve_before": [0.25]},
    "state": "running",
    "stage": 1,
    "share": 0.25,
    "approved_share": 1.0,
    "reasons": ["no harm found at a share of 0.05"],
    "started_by": "user:u-17",
    "started_at": "2026-11-01T11:00:00Z",
    "finished_at": None,
    "ended_by": None,
    "verified_at": None,
    "verification": None,
}
_MORE: dict[str, Any] = {
    "awaits": None,
    "actions": [
        {
            "action": "approve",
            "share": 0.25,
            "by": "user:u-3",
            "comment": "figures are fine",
            "at": "2026-11-02T11:00:00Z",
        }
    ],
}


class CanaryView(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_CANARY]})

    id: str
    model: str
    candidate: str
    control: str
    policy: dict[str, Any]
    state: State
    stage: int
    share: float = Field(description="Of users on the candidate now; 0 once it has ended")
    approved_share: float | None = Field(
        description="The highest share that may be served; null where the policy asks nobody"
    )
    reasons: list[str] = Field(description="Of the last look, or of whoever ended it")
    started_by: str | None = Field(description="They can neither approve nor override it")
    started_at: datetime
    finished_at: datetime | None
    ended_by: str | None = Field(description="Null where a look ended it")
    verified_at: datetime | None = Field(description="When every gateway said that it serves its end")
    verification: str | None = Field(description="What the gateways said last")


class ActionView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    action: str = Field(description="approve, reject, abort or override")
    share: float | None = Field(description="What was approved or overridden; 1 is the promotion")
    by: str
    comment: str | None
    at: datetime


class CanaryWithActions(CanaryView):
    model_config = ConfigDict(json_schema_extra={"examples": [_CANARY | _MORE]})

    awaits: float | None = Field(
        description="The share that a person has to approve next; 1 is the promotion"
    )
    actions: list[ActionView] = Field(description="What people did, oldest first")


class LookView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    look: int
    at: datetime
    stage: int
    share: float
    decision: str = Field(description="advance, hold, error, promote, roll_back, inconclusive or invalid")
    reasons: list[str]
    verdict: dict[str, Any] = Field(description="Figures of each metric, or the failure of the judge")


class CanaryWithLooks(CanaryWithActions):
    model_config = ConfigDict(json_schema_extra={"examples": [_CANARY | _MORE | {"looks": []}]})

    looks: list[LookView] = Field(description="The newest ones, oldest first")


@router.get("/canaries", dependencies=_VIEW, summary="List canaries, newest first")
def list_canaries(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[CanaryView]:
    rows = newest_first(
        services.engine,
        canaries,
        tenant=caller.tenant,
        limit=paging.limit + 1,
        before=paging.before,
        at="started_at",
    )
    return paging.page(request, rows, show=_view, place=lambda row: (row.started_at, row.id))


@router.get("/canaries/{canary_id}", dependencies=_VIEW, responses=responses(404), summary="Show a canary")
def show_canary(
    caller: Caller,
    services: CallServices,
    canary_id: str,
    looks: Annotated[int, Query(ge=0, le=1000, description="So many looks at most")] = 100,
) -> CanaryWithLooks:
    shown = with_actions(services, canary_id, tenant=caller.tenant)
    found = newest_looks(services.engine, canary_id, looks)
    return CanaryWithLooks(**shown.model_dump(), looks=[_look(look) for look in found])


@router.get(
    "/canaries/{canary_id}/page",
    dependencies=_VIEW,
    responses=responses(404),
    response_class=HTMLResponse,
    summary="A canary as a page: share and metrics over time, who did what, what it cost",
)
def show_page(caller: Caller, services: CallServices, canary_id: str) -> HTMLResponse:
    """HTML without scripts that loads nothing: keep it, print it, send it on."""
    owned_row(services.engine, canaries, canary_id, tenant=caller.tenant, what="canary")
    now = services.now()
    prices = price_book(services.settings.price_file, today=now.date())
    page = render_html(read_story(services.engine, canary_id, now=now, prices=prices))
    policy = f"{content_policy()}; frame-ancestors 'none'"
    return HTMLResponse(page, headers={"content-security-policy": policy})


def with_actions(services: Services, canary_id: str, *, tenant: str) -> CanaryWithActions:
    """Raises NotFoundError; a canary of another tenant is not found either."""
    row = owned_row(services.engine, canaries, canary_id, tenant=tenant, what="canary")
    canary = CanaryStore(services.engine).get(canary_id)
    return CanaryWithActions(
        **_view(row).model_dump(),
        awaits=canary.unapproved_share if canary.state == "running" else None,
        actions=[_action(one) for one in CanaryActions(services.engine).all(canary_id)],
    )


def _view(row: "sa.Row[Any]") -> CanaryView:
    return CanaryView.model_validate(row)


def _action(action: Action) -> ActionView:
    return ActionView.model_validate(action)


def _look(look: Look) -> LookView:
    return LookView.model_validate(look)
