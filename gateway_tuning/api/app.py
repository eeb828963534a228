"""The HTTP API. It starts only if every route says who may call it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from gateway_tuning import __version__
from gateway_tuning.api import (
    approvals,
    audit,
    canaries,
    canary_actions,
    cycles,
    deployments,
    drift_reports,
    feedback,
    health,
    keys,
    models,
    problems,
    quarantine,
    reports,
    resources,
    run_starts,
    runs,
    subjects,
    training_jobs,
)
from gateway_tuning.api.dashboard.pages import PAGES
from gateway_tuning.api.fast_lane import FastLane
from gateway_tuning.api.health import ReadinessProbe
from gateway_tuning.api.middleware import RequestEnvelope
from gateway_tuning.api.problems import Problem
from gateway_tuning.api.security import GuardedRoute, LeanRoute, declared
from gateway_tuning.api.services import Services
from gateway_tuning.errors import ConfigurationError

ROUTERS: tuple[APIRouter, ...] = (
    feedback.router,
    feedback.receipts_router,
    run_starts.router,
    runs.router,
    approvals.router,
    models.router,
    resources.router,
    quarantine.router,
    training_jobs.router,
    reports.router,
    drift_reports.router,
    canaries.router,
    canary_actions.router,
    cycles.router,
    deployments.router,
    keys.router,
    audit.router,
    subjects.router,
    health.router,
)


def create_app(
    services: Services,
    *,
    routers: tuple[APIRouter, ...] = ROUTERS,
    on_shutdown: Callable[[], None] | None = None,
) -> FastAPI:
    """Raises ConfigurationError naming a route that declares no permission."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.readiness = ReadinessProbe(services)
        yield
        if on_shutdown is not None:
            await to_thread.run_sync(on_shutdown)

    app = FastAPI(
        title="LLM Gateway Tuning",
        version=__version__,
        summary="Feedback in, better models out; who may what, and what was done.",
        openapi_url=None,  # served by a route that declares itself public like every other
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        # Looked up on every request, and nobody listens: what is measured stands in /metrics.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    app.state.loop_metrics = health.loop_metrics(services)
    for router in (*routers, *PAGES):
        app.include_router(router)
    _require_declarations(app)
    problems.install(app)
    lean = [route for router in routers for route in router.routes if isinstance(route, LeanRoute)]
    app.add_middleware(FastLane, routes=lean)
    app.add_middleware(
        RequestEnvelope, metrics=services.metrics, max_body_bytes=services.settings.max_body_bytes
    )
    app.openapi = lambda: _document(app)  # type: ignore[method-assign] # FastAPI's documented way
    return app


def _require_declarations(app: FastAPI) -> None:
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        name = f"{' '.join(sorted(context.methods or []))} {context.path}".strip()
        if not isinstance(route, GuardedRoute):
            raise ConfigurationError(
                f"The route {name} does not come from `api_router`, so nothing guards it"
            )
        if declared(route.dependencies) is None:
            raise ConfigurationError(
                f"The route {name} declares no permission; add dependencies=[allow(...)] or [public()]"
            )


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(_problem_schemas())
        components["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key `gt_...`, or a JSON Web Token of the configured issuer",
            }
        }
        app.openapi_schema = document
    return app.openapi_schema


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), "Problem": schema}
