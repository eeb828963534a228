"""How candidates compared with the version that was stable then: one by one, and over the history of a model."""

from fastapi import Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.errors import NotFoundError
from gateway_tuning.evaluation.history import past_of
from gateway_tuning.evaluation.reporting.findings import unknowns, verdict
from gateway_tuning.evaluation.reporting.forest import Row, relative_plot
from gateway_tuning.evaluation.reporting.past import past_plots, past_row
from gateway_tuning.evaluation.reporting.tables import forest_rows, metric_rows, opponents, system_rows
from gateway_tuning.evaluation.result import read_result
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage import layout
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import evaluations

# A stored page has its style in it, as an earlier version wrote it, and no script. It asks for nothing.
_REPORT = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

router = page_router()


@router.get("/evaluations", dependencies=[allow(Permission.VIEW)])
def list_evaluations(
    request: Request, caller: Caller, services: CallServices, few: Few, model: str | None = None
) -> Response:
    rows = newest_first(
        services.engine,
        evaluations,
        tenant=caller.tenant,
        limit=few.limit + 1,
        before=few.before,
        where=() if model is None else (evaluations.c.model == model,),
    )
    page = few.page(request, rows, show=past_of, place=lambda row: (row.created_at, row.id))
    of_one = len({one.model for one in page.items}) == 1
    return render(
        request,
        "evaluations.html.j2",
        model=model,
        models=Registry(services.engine).models(caller.tenant),
        past=[(one, past_row(one)) for one in page.items],
        plots=past_plots(page.items) if of_one else [],
        next=page.next,
        first=first_page(request),
        links=links,
    )


@router.get("/evaluations/{evaluation_id}", dependencies=[allow(Permission.VIEW)])
def show_evaluation(request: Request, caller: Caller, services: CallServices, evaluation_id: str) -> Response:
    """Its figures. The stored report has slices, distributions and samples besides."""
    row = owned_row(services.engine, evaluations, evaluation_id, tenant=caller.tenant, what="evaluation")
    result = read_result(row.result)
    compared = [
        (role.value, [_plot(rows) for rows in forest_rows(result, role)], metric_rows(result, role))
        for role in opponents(result)
    ]
    return render(
        request,
        "evaluation.html.j2",
        stored=row,
        result=result,
        verdict=verdict(result),
        unknowns=unknowns(result),
        compared=compared,
        systems=[system.role.value for system in result.systems],
        system_rows=system_rows(result),
        cycles=CycleStore(services.engine).that_made(caller.tenant, evaluation_id),
        has_page=services.objects.exists(layout.evaluation_page(evaluation_id)),
        links=links,
    )


@router.get("/evaluations/{evaluation_id}/report", dependencies=[allow(Permission.VIEW)])
def show_report(caller: Caller, services: CallServices, evaluation_id: str) -> Response:
    owned_row(services.engine, evaluations, evaluation_id, tenant=caller.tenant, what="evaluation")
    key = layout.evaluation_page(evaluation_id)
    if not services.objects.exists(key):
        raise NotFoundError(f"The report of {evaluation_id} is gone: its dataset was erased or deleted")
    return HTMLResponse(services.objects.read(key), headers={"content-security-policy": _REPORT})


def _plot(rows: list[Row]) -> Markup:
    return relative_plot(rows) if rows else Markup()
