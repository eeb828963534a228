"""API keys of the caller's tenant."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.keys import ApiKey
from gateway_tuning.access.permissions import Permission, Role
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router, audit_event
from gateway_tuning.api.services import CallServices

router: APIRouter = api_router("api keys")


class NewApiKey(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"name": "shop-backend", "role": "FeedbackWriter", "days": 90}]},
    )

    name: str = Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$", description="Who uses the key")
    role: Role
    days: int | None = Field(None, ge=1, le=3650, description="Until it expires; never when absent")


class ApiKeyView(BaseModel):
    id: str = Field(examples=["4f2e9d1fbd8a"])
    name: str
    role: Role
    created_by: str = Field(examples=["key:4f2e9d1fbd8a"])
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute")


class CreatedApiKey(ApiKeyView):
    key: str = Field(description="Shown this once: the store keeps a hash alone")


@router.get("/api-keys", dependencies=[allow(Permission.MANAGE)], summary="List API keys, newest first")
def list_keys(request: Request, caller: Caller, services: CallServices, paging: Paging) -> Page[ApiKeyView]:
    rows = services.keys.all(caller.tenant, limit=paging.limit + 1, before=paging.before)
    return paging.page(request, rows, show=_view, place=lambda key: (key.created_at, key.id))


@router.post(
    "/api-keys",
    status_code=201,
    dependencies=[allow(Permission.MANAGE)],
    summary="Create an API key",
)
def create_key(request: Request, caller: Caller, services: CallServices, body: NewApiKey) -> CreatedApiKey:
    now = services.now()
    expires_at = now + timedelta(days=body.days) if body.days is not None else None

    def audited(connection: sa.Connection, key: ApiKey) -> None:
        event = audit_event(
            request, "api-key.create", key.id, detail={"role": str(key.role), "days": body.days}
        )
        services.audit.append_in(connection, event, now=now)

    key, text = services.keys.create(
        caller.tenant, body.name, body.role, by=caller.id, now=now, expires_at=expires_at, also=audited
    )
    return CreatedApiKey(**_view(key).model_dump(), key=text)


@router.delete(
    "/api-keys/{key_id}",
    dependencies=[allow(Permission.MANAGE)],
    responses=responses(404),
    summary="Revoke an API key",
)
def revoke_key(request: Request, caller: Caller, services: CallServices, key_id: str) -> ApiKeyView:
    """It dies within seconds, also in other processes. Revoked twice is fine."""
    now = services.now()

    def audited(connection: sa.Connection, key: ApiKey) -> None:
        services.audit.append_in(connection, audit_event(request, "api-key.revoke", key.id), now=now)

    return _view(services.keys.revoke(key_id, tenant=caller.tenant, now=now, also=audited))


def _view(key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        name=key.name,
        role=key.role,
        created_by=key.created_by,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )
