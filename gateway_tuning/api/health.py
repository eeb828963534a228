"""Whether the service lives, whether it can work, and what it measured. Open to all, silent about tenants."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

import sqlalchemy as sa
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from gateway_tuning.api.security import GuardedRoute, public
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.observability.figures import read_figures
from gateway_tuning.observability.operators import may_know
from gateway_tuning.observability.scrape import LoopMetrics
from gateway_tuning.storage.database import reading

_FRESH_S = 2.0
_LONGEST_CHECK_S = 5.0
CheckResult = Literal["ok", "unreachable", "not configured"]
router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    status: Literal["ready", "degraded", "unready"] = Field(
        description="degraded: feedback is taken, runs cannot be started"
    )
    checks: dict[str, CheckResult] = Field(examples=[{"store": "ok", "objects": "ok", "orchestrator": "ok"}])


class ReadinessProbe:
    """Asks at most every two seconds, however many ask it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._last: tuple[float, Readiness] | None = None

    async def result(self) -> Readiness:
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _FRESH_S:
                self._last = (time.monotonic(), await self._ask())
            return self._last[1]

    async def _ask(self) -> Readiness:
        services = self._services
        orchestrator = services.orchestrator
        store, objects, runs = await asyncio.gather(
            _check(lambda: _read_store(services)),
            _check(lambda: services.objects.exists("readiness")),
            _check(orchestrator.check) if orchestrator is not None else _not_configured(),
        )
        checks: dict[str, CheckResult] = {"store": store, "objects": objects, "orchestrator": runs}
        if "unreachable" in {store, objects}:
            return Readiness(status="unready", checks=checks)
        return Readiness(status="degraded" if runs == "unreachable" else "ready", checks=checks)


async def _check(ask: Callable[[], object]) -> CheckResult:
    try:
        await asyncio.wait_for(to_thread.run_sync(ask, abandon_on_cancel=True), _LONGEST_CHECK_S)
    except Exception:  # noqa: BLE001 - whatever a client library raises, it was not reached
        return "unreachable"
    return "ok"


async def _not_configured() -> CheckResult:
    return "not configured"


def _read_store(services: Services) -> None:
    with reading(services.engine) as connection:
        connection.execute(sa.select(1))


@router.get("/healthz", dependencies=[public()], summary="Whether the process lives")
async def alive() -> Alive:
    return Alive()


@router.get(
    "/readyz",
    dependencies=[public()],
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "The store or the object storage does not answer"}},
    summary="Whether requests should be sent here",
)
async def ready(request: Request) -> Response:
    probe: ReadinessProbe = request.app.state.readiness
    found = await probe.result()
    return JSONResponse(found.model_dump(), 503 if found.status == "unready" else 200)


@router.get(
    "/metrics",
    dependencies=[public()],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Measurements in Prometheus's text format",
)
async def metrics(request: Request, services: CallServices) -> Response:
    """Of the service for everybody; of the loop for the operator, who has `metrics_key` or calls from this machine."""
    text, key = services.metrics.text(), services.settings.metrics_key
    host = request.client.host if request.client is not None else None
    if may_know(None if key is None else key.get_secret_value(), host, request.headers):
        loop: LoopMetrics = request.app.state.loop_metrics
        text += await to_thread.run_sync(loop.text)
    return Response(text, media_type="text/plain; version=0.0.4")


def loop_metrics(services: Services) -> LoopMetrics:
    settings = services.settings
    thresholds = ThresholdStore(
        services.engine, default_count=settings.feedback_threshold, default_hours=settings.threshold_hours
    )
    return LoopMetrics(lambda: read_figures(services.engine, thresholds, services.now()))


@router.get(
    "/api/model-training/openapi.json",
    dependencies=[public()],
    include_in_schema=False,
)
async def document(request: Request) -> Response:
    return JSONResponse(request.app.openapi())
