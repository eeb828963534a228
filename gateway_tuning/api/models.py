"""Models behind the gateway: their versions, the aliases that name them, and when they are tuned again."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router, record
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.threshold import Threshold, ThresholdStore
from gateway_tuning.registry.code_version import CodeVersion
from gateway_tuning.registry.model_version import StoredFile
from gateway_tuning.registry.statuses import ModelStatus
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import model_versions, models

router: APIRouter = api_router("models")

_VIEW = [allow(Permission.VIEW)]


class ModelView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "assistant",
                    "aliases": {
                        "stable": "assistant@SmolLM2-135M-Instruct",
                        "candidate": "assistant@4f2e9d1fbd8a",
                    },
                    "created_at": "2026-11-01T09:52:56Z",
                }
            ]
        }
    )

    name: str
    aliases: dict[str, str] = Field(description="Alias to version id")
    created_at: datetime


class ModelVersionView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "assistant@4f2e9d1fbd8a",
                    "status": "available",
                    "revision": 1,
                    "aliases": ["candidate"],
                    "base_model": "SmolLM2-135M-Instruct",
                    "provider": "llama",
                    "dataset_id": "ds-0a1b2c3d4e5f6071",
                    "job_key": "4f2e9d1fbd8a" + "0" * 52,
                    "metrics": {"train_loss": 1.31},
                    "hyperparameters": {"max_steps": 100},
                    "files": {
                        "adapter.gguf": {
                            "key": "models/assistant@4f2e9d1fbd8a/adapter.gguf",
                            "sha256": "9f86d081" * 8,
                            "bytes": 3713184,
                        }
                    },
                    "code": {"package": "0.1.0", "commit": "4b825dc642cb" + "0" * 28, "changed": False},
                    "parents": [],
                    "created_at": "2026-11-01T10:12:01Z",
                    "holds_erased_since": None,
                }
            ]
        }
    )

    id: str
    status: ModelStatus
    revision: int = Field(description="Rises with every change of the status")
    aliases: list[str] = Field(description="Those of other environments as environment/alias")
    base_model: str
    provider: str
    dataset_id: str | None = Field(description="Null on a base model that was not trained here")
    job_key: str | None
    metrics: dict[str, float]
    hyperparameters: dict[str, Any]
    files: dict[str, StoredFile] = Field(description="By name; empty where its provider serves it")
    code: CodeVersion | None = Field(description="What trained it; null where that is not known")
    parents: list[str] = Field(description="Versions that it was trained from")
    created_at: datetime
    holds_erased_since: datetime | None = Field(
        description="Since a person was erased whose feedback it learned from"
    )


class ThresholdSetting(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"count": 500, "hours": 24}]}
    )

    count: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="New records that start a cycle; the service's default when null",
    )
    hours: float | None = Field(
        None, gt=0, le=8760, allow_inf_nan=False, description="They must have come within; default when null"
    )


class ThresholdView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "assistant", "count": 500, "hours": 24.0, "is_default": True}]
        },
        from_attributes=True,
    )

    model: str
    count: int = Field(description="New feedback records, beyond the last cycle's, that start a cycle")
    hours: float
    is_default: bool = Field(description="The model has no setting of its own")


@router.get("/models", dependencies=_VIEW, summary="List models, newest first")
def list_models(request: Request, caller: Caller, services: CallServices, paging: Paging) -> Page[ModelView]:
    rows = newest_first(
        services.engine,
        models,
        tenant=caller.tenant,
        limit=paging.limit + 1,
        before=paging.before,
        key="name",
    )
    registry = Registry(services.engine)
    return paging.page(
        request, rows, show=lambda row: _model(registry, row), place=lambda row: (row.created_at, row.name)
    )


@router.get("/models/{model}", dependencies=_VIEW, responses=responses(404), summary="Show a model")
def show_model(caller: Caller, services: CallServices, model: str) -> ModelView:
    row = owned_row(services.engine, models, model, tenant=caller.tenant, what="model", key="name")
    return _model(Registry(services.engine), row)


@router.get(
    "/models/{model}/versions",
    dependencies=_VIEW,
    responses=responses(404),
    summary="List a model's versions, newest first",
)
def list_versions(
    request: Request, caller: Caller, services: CallServices, paging: Paging, model: str
) -> Page[ModelVersionView]:
    owned_row(services.engine, models, model, tenant=caller.tenant, what="model", key="name")
    rows = newest_first(
        services.engine,
        model_versions,
        tenant=caller.tenant,
        limit=paging.limit + 1,
        before=paging.before,
        where=(model_versions.c.model == model,),
    )
    aliases = Registry(services.engine).aliases(model)
    return paging.page(
        request, rows, show=lambda row: _version(aliases, row), place=lambda row: (row.created_at, row.id)
    )


@router.get(
    "/models/{model}/versions/{version_id}",
    dependencies=_VIEW,
    responses=responses(404),
    summary="Show a model version",
)
def show_version(caller: Caller, services: CallServices, model: str, version_id: str) -> ModelVersionView:
    row = owned_row(
        services.engine, model_versions, version_id, tenant=caller.tenant, what=f"version of {model}"
    )
    if row.model != model:
        raise NotFoundError(f"No version {version_id} of {model}; list the versions to see all")
    return _version(Registry(services.engine).aliases(model), row)


@router.get(
    "/models/{model}/threshold",
    dependencies=_VIEW,
    responses=responses(404),
    summary="How much new feedback starts a cycle",
)
def show_threshold(caller: Caller, services: CallServices, model: str) -> ThresholdView:
    return _threshold(_store(services).setting(caller.tenant, model))


@router.put(
    "/models/{model}/threshold",
    dependencies=[allow(Permission.EDIT)],
    responses=responses(404, 413),
    summary="Set how much new feedback starts a cycle",
)
def set_threshold(
    request: Request, caller: Caller, services: CallServices, model: str, body: ThresholdSetting
) -> ThresholdView:
    found = _store(services).set(caller.tenant, model, count=body.count, hours=body.hours)
    record(request, "model.threshold", model, detail={"count": body.count, "hours": body.hours})
    return _threshold(found)


def _store(services: Services) -> ThresholdStore:
    settings = services.settings
    return ThresholdStore(
        services.engine, default_count=settings.feedback_threshold, default_hours=settings.threshold_hours
    )


def _model(registry: Registry, row: "sa.Row[Any]") -> ModelView:
    return ModelView(name=row.name, aliases=registry.aliases(row.name), created_at=row.created_at)


def _version(aliases: dict[str, str], row: "sa.Row[Any]") -> ModelVersionView:
    return ModelVersionView(
        id=row.id,
        status=row.status,
        revision=row.revision,
        aliases=sorted(alias for alias, id_ in aliases.items() if id_ == row.id),
        base_model=row.base_model,
        provider=row.provider,
        dataset_id=row.dataset_id,
        job_key=row.job_key,
        metrics=row.metrics,
        hyperparameters=row.hyperparameters,
        files=row.files,
        code=row.code,
        parents=row.parents,
        created_at=row.created_at,
        holds_erased_since=row.holds_erased_since,
    )


def _threshold(found: Threshold) -> ThresholdView:
    return ThresholdView.model_validate(found)
