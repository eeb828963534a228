"""Which versions users meet now, where they answer, and how it came to that."""

from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.registry.deployments import Deployment, DeploymentChange, Deployments
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import models

router: APIRouter = api_router("rollouts")

_VIEW = [allow(Permission.VIEW)]
_NEWEST = 200
_NOW: dict[str, Any] = {
    "model": "assistant",
    "now": [
        {
            "version": "assistant@SmolLM2-135M-Instruct",
            "role": "stable",
            "share": 0.75,
            "since": "2026-10-20T08:00:00Z",
            "base_url": "http://127.0.0.1:8091/v1",
            "served_model": "SmolLM2-135M-Instruct",
            "canary_id": None,
        },
        {
            "version": "assistant@4f2e9d1fbd8a",
            "role": "canary",
            "share": 0.25,
            "since": "2026-11-02T11:00:00Z",
            "base_url": None,
            "served_model": None,
            "canary_id": "canary-0a1b2c3d4e5f6071",
        },
    ],
}
_HISTORY: list[dict[str, Any]] = [
    {
        "at": "2026-10-20T08:00:00Z",
        "version": "assistant@SmolLM2-135M-Instruct",
        "what": "stable: the first version",
        "by": "user:u-17",
    }
]


class DeploymentView(BaseModel):
    version: str
    role: Literal["stable", "canary"]
    share: float = Field(description="Of users; of stable those whom no canary takes")
    since: datetime
    base_url: str | None = Field(description="Null where the registry knows no endpoint")
    served_model: str | None = Field(description="Its name there")
    canary_id: str | None


class DeploymentChangeView(BaseModel):
    at: datetime
    version: str | None = Field(description="Null where an alias was removed")
    what: str
    by: str | None = Field(description="Null where nobody said who")


class DeploymentsView(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_NOW]})

    model: str
    now: list[DeploymentView] = Field(description="Stable first; empty where it serves nobody")


class DeploymentsWithHistory(DeploymentsView):
    model_config = ConfigDict(json_schema_extra={"examples": [_NOW | {"history": _HISTORY}]})

    history: list[DeploymentChangeView] = Field(description=f"Newest first, {_NEWEST} at most")


@router.get("/deployments", dependencies=_VIEW, summary="List what each model serves, newest model first")
def list_deployments(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[DeploymentsView]:
    rows = newest_first(
        services.engine,
        models,
        tenant=caller.tenant,
        limit=paging.limit + 1,
        before=paging.before,
        key="name",
    )

    def show(row: "sa.Row[Any]") -> DeploymentsView:
        return _view(_deployments(services, row.name))

    return paging.page(request, rows, show=show, place=lambda row: (row.created_at, row.name))


@router.get(
    "/deployments/{model}",
    dependencies=_VIEW,
    responses=responses(404),
    summary="Show what a model serves, and how it came to that",
)
def show_deployments(caller: Caller, services: CallServices, model: str) -> DeploymentsWithHistory:
    owned_row(services.engine, models, model, tenant=caller.tenant, what="model", key="name")
    found = _deployments(services, model)
    history = [_change(change) for change in reversed(found.history[-_NEWEST:])]
    return DeploymentsWithHistory(**_view(found).model_dump(), history=history)


def _deployments(services: Services, model: str) -> Deployments:
    return Registry(services.engine).deployments(model)


def _view(found: Deployments) -> DeploymentsView:
    return DeploymentsView(model=found.model, now=[_deployment(one) for one in found.now])


def _deployment(one: Deployment) -> DeploymentView:
    return DeploymentView(
        version=one.version_id,
        role=one.role,
        share=one.share,
        since=one.since,
        base_url=None if one.endpoint is None else one.endpoint.base_url,
        served_model=None if one.endpoint is None else one.endpoint.model,
        canary_id=one.canary_id,
    )


def _change(change: DeploymentChange) -> DeploymentChangeView:
    return DeploymentChangeView(at=change.at, version=change.version_id, what=change.what, by=change.by)
