"""Whether what users ask has changed: every check of a model over time, and each by itself."""

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
from gateway_tuning.drift.history import checks, plot
from gateway_tuning.drift.page import charts
from gateway_tuning.drift.report import STATES
from gateway_tuning.drift.result import read_report
from gateway_tuning.drift.store import DriftStore
from gateway_tuning.errors import NotFoundError
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage import layout
from gateway_tuning.storage.paging import owned_row
from gateway_tuning.storage.tables import drift_reports

# Evidently's page draws itself by scripts. In a sandbox it has no origin: no cookie, no request, no way out.
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

router = page_router()


@router.get("/drift", dependencies=[allow(Permission.VIEW)])
def list_checks(
    request: Request, caller: Caller, services: CallServices, few: Few, model: str | None = None
) -> Response:
    """The checks of one page, in a chart where they are of one model."""
    store = DriftStore(services.engine)
    found = store.page(caller.tenant, model=model, limit=few.limit + 1, before=few.before)
    page = few.page(request, found, show=lambda one: one, place=lambda one: (one.created_at, one.id))
    shown = checks(page.items)
    of_one = len({one.model for one in page.items}) == 1
    return render(
        request,
        "drift.html.j2",
        model=model,
        models=Registry(services.engine).models(caller.tenant),
        checks=shown,
        reports=dict(zip([one.id for one in shown], page.items, strict=True)),
        chart=Markup(plot(shown[::-1])) if of_one and shown else Markup(),  # noqa: S704 - it escapes what it shows
        next=page.next,
        first=first_page(request),
        links=links,
    )


@router.get("/drift/{report_id}", dependencies=[allow(Permission.VIEW)])
def show_check(request: Request, caller: Caller, services: CallServices, report_id: str) -> Response:
    """With topics and telling words: only such as at least three users wrote."""
    owned_row(services.engine, drift_reports, report_id, tenant=caller.tenant, what="drift report")
    stored = DriftStore(services.engine).get(report_id)
    report = read_report(stored.result)
    return render(
        request,
        "drift_report.html.j2",
        stored=stored,
        report=report,
        verdict=STATES[report.state],
        charts=charts(report),
        has_page=services.objects.exists(layout.drift_page(report_id)),
        links=links,
    )


@router.get("/drift/{report_id}/evidently", dependencies=[allow(Permission.VIEW)])
def show_evidently(caller: Caller, services: CallServices, report_id: str) -> Response:
    owned_row(services.engine, drift_reports, report_id, tenant=caller.tenant, what="drift report")
    key = layout.drift_page(report_id)
    if not services.objects.exists(key):
        raise NotFoundError(
            f"Evidently's page of {report_id} is gone, or was never made; the check itself stands"
        )
    return HTMLResponse(services.objects.read(key), headers={"content-security-policy": _SANDBOX})
