"""Feedback as it came in, and what became of a record. Its texts are shown nowhere."""

from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import Path, Query, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.activity import Activity, activity
from gateway_tuning.api.dashboard.charts import legend, stacks
from gateway_tuning.api.dashboard.lists import ROWS
from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.dashboard.wording import said
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices
from gateway_tuning.feedback.receipts import receipt
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import feedback as table

Days = Literal["14", "30", "84"]
_SPANS = {"14": 1, "30": 1, "84": 7}  # days that one bar stands for
_PATH = f"{HOME}/feedback"
_VIEW = [allow(Permission.VIEW)]
_HIGHEST = 2**63 - 1
router = page_router()


@router.get("/feedback", dependencies=_VIEW)
def show_feedback(
    request: Request,
    caller: Caller,
    services: CallServices,
    days: Days = "14",
    before: Annotated[int | None, Query(ge=1, le=_HIGHEST)] = None,
) -> Response:
    found = activity(services.engine, caller.tenant, days=int(days), now=services.now(), span=_SPANS[days])
    columns = (table.c.sequence, table.c.id, table.c.type, table.c.event_time, table.c.received_at)
    query = sa.select(*columns).where(table.c.tenant == caller.tenant)
    if before is not None:
        query = query.where(table.c.sequence < before)
    with reading(services.engine) as connection:
        rows = connection.execute(query.order_by(table.c.sequence.desc()).limit(ROWS + 1)).all()
    shown = rows[:ROWS]
    return render(
        request,
        "feedback.html.j2",
        activity=found,
        chart=chart(found),
        days=days,
        by="week" if _SPANS[days] > 1 else "day",
        records=shown,
        next=f"{_PATH}?days={days}&before={shown[-1].sequence}" if len(rows) > ROWS else None,
        first=None if before is None else f"{_PATH}?days={days}",
        address=links.feedback,
    )


@router.get("/feedback/find", dependencies=_VIEW)
def find(id: Annotated[str, Query(max_length=200)] = "") -> Response:  # noqa: A002 - the field's name
    return RedirectResponse(links.feedback(id.strip()) if id.strip() else _PATH, 303)


@router.get("/feedback/records/{feedback_id:path}", dependencies=_VIEW)
def show_record(
    request: Request,
    caller: Caller,
    services: CallServices,
    feedback_id: Annotated[str, Path(max_length=200)],
) -> Response:
    found = receipt(services.engine, caller.tenant, feedback_id)
    return render(request, "feedback_record.html.j2", found=found, links=links)


def chart(found: Activity) -> Markup:
    """Empty where nothing came."""
    if not found.total:
        return Markup("")
    series = {said(kind): figures for kind, figures in found.counts.items()}
    labels = [f"{day:%b} {day.day}" for day in found.begins]
    return stacks("Feedback by type", labels, series) + legend(list(series))
