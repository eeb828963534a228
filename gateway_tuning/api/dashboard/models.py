"""Models: which versions users meet, how that came about, and all that is known of each version."""

from fastapi import Request
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api import models as api
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.registry.card import model_card
from gateway_tuning.registry.card_sections import lead, sections, warning
from gateway_tuning.registry.deployments import served_now
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.paging import owned_row
from gateway_tuning.storage.tables import model_versions, models

_NEWEST = 20  # of a model's history

router = page_router()


@router.get("/models", dependencies=[allow(Permission.VIEW)])
def list_models(request: Request, caller: Caller, services: CallServices, few: Few) -> Response:
    page = api.list_models(request, caller, services, few)
    return render(
        request,
        "models.html.j2",
        models=[(one, served_now(services.engine, one.name)) for one in page.items],
        next=page.next,
        first=first_page(request),
        links=links,
    )


@router.get("/models/versions/{version_id:path}", dependencies=[allow(Permission.VIEW)])
def show_version(request: Request, caller: Caller, services: CallServices, version_id: str) -> Response:
    owned_row(services.engine, model_versions, version_id, tenant=caller.tenant, what="model version")
    card = model_card(services.engine, services.objects, version_id)
    return render(
        request,
        "version.html.j2",
        card=card,
        lead=lead(card),
        warning=warning(card),
        sections=sections(card),
        run_url=None if card.job is None else links.prefect_run(services.settings, card.job.run_id),
        cycles=CycleStore(services.engine).that_made(caller.tenant, version_id),
        links=links,
    )


@router.get("/models/{model}", dependencies=[allow(Permission.VIEW)])
def show_model(request: Request, caller: Caller, services: CallServices, few: Few, model: str) -> Response:
    owned_row(services.engine, models, model, tenant=caller.tenant, what="model", key="name")
    page = api.list_versions(request, caller, services, few, model)
    registry = Registry(services.engine)
    served, moves = registry.deployments(model), registry.alias_changes(model)
    return render(
        request,
        "model.html.j2",
        model=model,
        threshold=api.show_threshold(caller, services, model),
        aliases=sorted(registry.aliases(model).items()),
        now_served=served.now,
        history=served.history[: -_NEWEST - 1 : -1],
        changes=len(served.history),
        moves=moves[: -_NEWEST - 1 : -1],
        moved=len(moves),
        versions=page.items,
        next=page.next,
        first=first_page(request),
        links=links,
    )
