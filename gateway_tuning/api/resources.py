"""What was made of feedback, and what was paid: datasets, costs."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.datasets.manifest import Counts
from gateway_tuning.datasets.published import read_manifest
from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import datasets
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.cost.entry import CostEntry

router: APIRouter = api_router("resources")

_READERS = 8  # manifests that are read from object storage at a time
_VIEW = [allow(Permission.VIEW)]

# Several builds may give one dataset.
_DATASETS = (
    sa.select(
        datasets.c.id,
        datasets.c.tenant,
        sa.func.min(datasets.c.created_at).label("created_at"),
        sa.func.max(datasets.c.watermark).label("watermark"),
        sa.func.max(datasets.c.retired_at).label("retired_at"),
        sa.func.max(datasets.c.replaced_by).label("replaced_by"),
    )
    .group_by(datasets.c.id, datasets.c.tenant)
    .subquery()
)


class DatasetSummary(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "ds-0a1b2c3d4e5f6071",
                    "watermark": 1432,
                    "counts": {
                        "records": 1200,
                        "used": 1100,
                        "left_out": {"duplicate": 100},
                        "examples": {"train": {"demonstration": 800}, "test": {"demonstration": 140}},
                        "entities": {"PERSON": 31},
                        "groups": 410,
                        "shared_groups": 0,
                        "agreement": None,
                    },
                    "created_at": "2026-11-01T09:52:56Z",
                    "retired_at": None,
                    "replaced_by": None,
                }
            ]
        }
    )

    id: str
    watermark: int = Field(description="It holds feedback up to this sequence")
    counts: Counts | None = Field(description="From its manifest; null where that cannot be read")
    created_at: datetime
    retired_at: datetime | None = Field(description="When an erasure or a deletion took it away")
    replaced_by: str | None


class CostView(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "4f2e9d1fbd8a" + "0" * 52,
                    "purpose": "training",
                    "object_id": "4f2e9d1fbd8a" + "0" * 52,
                    "provider": "llama",
                    "amount": None,
                    "currency": None,
                    "expected": "1.5",
                    "usage": {"tokens": 81234.0, "train_seconds": 640.2},
                    "note": "the price of llama is not known, its usage is",
                    "created_at": "2026-11-01T10:12:01Z",
                }
            ]
        }
    )

    id: str
    purpose: str
    object_id: str = Field(description="Key of the job it was for")
    provider: str
    amount: str | None = Field(description="A decimal; null is unknown, never zero")
    currency: str | None
    expected: str | None = Field(description="A decimal: what it was estimated to cost; null is unknown")
    usage: dict[str, float]
    note: str
    created_at: datetime


@router.get("/datasets", dependencies=_VIEW, summary="List datasets, newest first")
def list_datasets(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[DatasetSummary]:
    rows = newest_first(
        services.engine, _DATASETS, tenant=caller.tenant, limit=paging.limit + 1, before=paging.before
    )
    with ThreadPoolExecutor(_READERS) as readers:
        shown = list(readers.map(lambda row: _dataset(services, row), rows))
    return paging.page(request, shown, show=_itself, place=lambda one: (one.created_at, one.id))


@router.get("/datasets/{dataset_id}", dependencies=_VIEW, responses=responses(404), summary="Show a dataset")
def show_dataset(caller: Caller, services: CallServices, dataset_id: str) -> DatasetSummary:
    row = owned_row(services.engine, _DATASETS, dataset_id, tenant=caller.tenant, what="dataset")
    return _dataset(services, row)


@router.get("/costs", dependencies=_VIEW, summary="List costs, newest first")
def list_costs(request: Request, caller: Caller, services: CallServices, paging: Paging) -> Page[CostView]:
    """An amount that is not known is null and stays out of any sum."""
    found = CostStore(services.engine).page(caller.tenant, limit=paging.limit + 1, before=paging.before)
    return paging.page(request, found, show=_cost, place=lambda entry: (entry.created_at, entry.id))


@router.get("/costs/{cost_id}", dependencies=_VIEW, responses=responses(404), summary="Show a cost")
def show_cost(caller: Caller, services: CallServices, cost_id: str) -> CostView:
    return _cost(CostStore(services.engine).get(cost_id, tenant=caller.tenant))


def _dataset(services: Services, row: "sa.Row[Any]") -> DatasetSummary:
    return DatasetSummary(
        id=row.id,
        watermark=row.watermark,
        counts=None if row.retired_at is not None else _counts(services, row.id),
        created_at=row.created_at,
        retired_at=row.retired_at,
        replaced_by=row.replaced_by,
    )


def _counts(services: Services, dataset_id: str) -> Counts | None:
    try:
        return read_manifest(services.objects, dataset_id).counts
    except (GatewayTuningError, OSError):  # the catalogue still says that it exists
        return None


def _cost(entry: CostEntry) -> CostView:
    return CostView(
        id=entry.id,
        purpose=entry.purpose,
        object_id=entry.object_id,
        provider=entry.provider,
        amount=None if entry.amount is None else str(entry.amount),
        currency=entry.currency,
        expected=None if entry.expected is None else str(entry.expected),
        usage=entry.usage,
        note=entry.note,
        created_at=entry.created_at,
    )


def _itself(one: DatasetSummary) -> DatasetSummary:
    return one
