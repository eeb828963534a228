"""Tuning cycles: how far each has come, and why."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices
from gateway_tuning.cycles.cycle import CycleOutcome, CycleStatus, Stage
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import cycles

router: APIRouter = api_router("rollouts")

_VIEW = [allow(Permission.VIEW)]
_CYCLE: dict[str, Any] = {
    "id": "0a1b2c3d4e5f6071",
    "model": "assistant",
    "status": "in_canary",
    "outcome": None,
    "reasons": [],
    "watermark": 1432,
    "incumbent": "assistant@SmolLM2-135M-Instruct",
    "plan": {"model": "assistant"},
    "started_by": "user:u-17",
    "created_at": "2026-11-01T09:52:56Z",
    "finished_at": None,
}


class CycleView(BaseModel):
    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_CYCLE]})

    id: str
    model: str
    status: CycleStatus
    outcome: CycleOutcome | None
    reasons: list[str]
    watermark: int = Field(description="It works on feedback up to this sequence")
    incumbent: str
    plan: dict[str, Any]
    started_by: str
    created_at: datetime
    finished_at: datetime | None


class StageView(BaseModel):
    stage: str
    id: str = Field(description="Of what the stage made")
    detail: dict[str, Any]
    seconds: float
    finished_at: datetime


class CycleWithStages(CycleView):
    model_config = ConfigDict(json_schema_extra={"examples": [_CYCLE | {"stages": []}]})

    stages: list[StageView] = Field(description="Finished ones, in their order")


@router.get("/cycles", dependencies=_VIEW, summary="List tuning cycles, newest first")
def list_cycles(request: Request, caller: Caller, services: CallServices, paging: Paging) -> Page[CycleView]:
    rows = newest_first(
        services.engine, cycles, tenant=caller.tenant, limit=paging.limit + 1, before=paging.before
    )
    return paging.page(request, rows, show=_cycle, place=lambda row: (row.created_at, row.id))


@router.get("/cycles/{cycle_id}", dependencies=_VIEW, responses=responses(404), summary="Show a tuning cycle")
def show_cycle(caller: Caller, services: CallServices, cycle_id: str) -> CycleWithStages:
    row = owned_row(services.engine, cycles, cycle_id, tenant=caller.tenant, what="cycle")
    stages = CycleStore(services.engine).stages(cycle_id).values()
    return CycleWithStages(**_cycle(row).model_dump(), stages=[_stage(stage) for stage in stages])


def _cycle(row: "sa.Row[Any]") -> CycleView:
    return CycleView.model_validate(row)


def _stage(stage: Stage) -> StageView:
    return StageView(
        stage=stage.stage,
        id=stage.result.id,
        detail=stage.result.detail,
        seconds=stage.seconds,
        finished_at=stage.finished_at,
    )
