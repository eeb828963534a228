"""Persons: erase one, and show how far it has come. No answer and no log names them."""

import logging
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.pagination import Page, Paging
from gateway_tuning.api.problems import responses
from gateway_tuning.api.security import Caller, allow, api_router
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.erasure.begin import begin
from gateway_tuning.erasure.store import Erasure, ErasureState, ErasureStore
from gateway_tuning.errors import ConfigurationError, OrchestratorError

DEPLOYMENT = "erase-subject/erase-subject"
_LONGEST_USER = 1000
_log = logging.getLogger("gateway_tuning.api")
router: APIRouter = api_router("subjects")


class ErasureView(BaseModel):
    id: str = Field(examples=["erasure-9f86d081884c7d65"])
    state: ErasureState = Field(
        description="requested: rows are gone, datasets and files follow; incomplete: something must be tried again"
    )
    requested_by: str = Field(examples=["key:4f2e9d1fbd8a"])
    erased_at: datetime = Field(description="What the person said up to here is refused from now on")
    completed_at: datetime | None
    rows_removed: dict[str, int] = Field(description="At once, by table")


class ErasureWithCertificate(ErasureView):
    certificate: dict[str, Any] | None = Field(
        description="What was removed, rewritten, marked and searched; its sha256 stands in the audit log. "
        "Null until the erasure is completed"
    )
    not_done: list[str] = Field(description="What the last attempt could not do yet")


@router.delete(
    "/subjects/{user_id:path}",
    status_code=202,
    dependencies=[allow(Permission.DELETE)],
    summary="Erase a person",
)
def erase_subject(
    caller: Caller,
    services: CallServices,
    user_id: Annotated[str, Path(min_length=1, max_length=_LONGEST_USER)],
) -> ErasureView:
    """Their rows are gone when this answers. Datasets, exports, files of tuning jobs and evaluations follow."""
    erasure = begin(services.engine, caller.tenant, user_id, requested_by=caller.id, now=services.now())
    _start(services, erasure)
    return _view(erasure)


@router.get("/erasures", dependencies=[allow(Permission.VIEW)], summary="List erasures, newest first")
def list_erasures(
    request: Request, caller: Caller, services: CallServices, paging: Paging
) -> Page[ErasureView]:
    store = ErasureStore(services.engine)
    rows = store.all(caller.tenant, limit=paging.limit + 1, before=paging.before)
    return paging.page(request, rows, show=_view, place=lambda erasure: (erasure.erased_at, erasure.id))


@router.get(
    "/erasures/{erasure_id}",
    dependencies=[allow(Permission.VIEW)],
    responses=responses(404),
    summary="An erasure and its certificate",
)
def read_erasure(caller: Caller, services: CallServices, erasure_id: str) -> ErasureWithCertificate:
    erasure = ErasureStore(services.engine).get(erasure_id, tenant=caller.tenant)
    noted = erasure.certificate or {}
    return ErasureWithCertificate(
        **_view(erasure).model_dump(),
        certificate=noted if erasure.state is ErasureState.COMPLETED else None,
        not_done=noted.get("not_done", []),
    )


def _start(services: Services, erasure: Erasure) -> None:
    """Where nobody can be asked now, the hourly run of the same flow goes on with it."""
    if services.orchestrator is None:
        return
    try:
        services.orchestrator.start(DEPLOYMENT, {"erasure_id": erasure.id}, key=erasure.id, tags=("erasure",))
    except (OrchestratorError, ConfigurationError) as error:
        _log.warning("erasure %s was not started and waits for the hourly run: %s", erasure.id, error)


def _view(erasure: Erasure) -> ErasureView:
    return ErasureView(
        id=erasure.id,
        state=erasure.state,
        requested_by=erasure.requested_by,
        erased_at=erasure.erased_at,
        completed_at=erasure.completed_at,
        rows_removed=erasure.counts,
    )
