"""All pages. The last one answers for addresses that no other knows."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import (
    approvals,
    audit,
    canaries,
    costs,
    cycles,
    datasets,
    drift,
    evaluations,
    feedback,
    jobs,
    models,
    notices,
    overview,
    quarantine,
    sign_in,
)
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.dashboard.routes import PageRoute, page_router
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import allow, public

_root = APIRouter(route_class=PageRoute, include_in_schema=False)
_unknown = page_router()


@_root.get("/", dependencies=[public()])
def root() -> Response:
    return RedirectResponse(HOME)


@_unknown.get("/{rest:path}", dependencies=[allow(Permission.VIEW)])
def unknown(rest: str) -> Response:
    raise ProblemError(404, f"No page {rest[:100]}; the menu lists all")


PAGES: tuple[APIRouter, ...] = (
    _root,
    sign_in.router,
    overview.router,
    feedback.router,
    quarantine.router,
    datasets.router,
    drift.router,
    cycles.router,
    jobs.router,
    models.router,
    evaluations.router,
    canaries.router,
    approvals.router,
    costs.router,
    notices.router,
    audit.router,
    _unknown,
)
