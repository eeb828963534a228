"""The loop at a glance."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from markupsafe import Markup
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api.dashboard import feedback, links
from gateway_tuning.api.dashboard.activity import activity
from gateway_tuning.api.dashboard.charts import meter
from gateway_tuning.api.dashboard.costs import this_month
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.dashboard.spans import lasted
from gateway_tuning.api.dashboard.waiting import matters
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.feedback.threshold import Progress, ThresholdStore
from gateway_tuning.storage.paging import newest_first
from gateway_tuning.storage.tables import canaries, cycles
from gateway_tuning.training.cost.reservations import month_of

_DAYS = 14
_MOST_CANARIES = 10
_STAGES = ("dataset", "train", "evaluate", "drift", "gate", "canary")
router = page_router()


@dataclass(frozen=True, slots=True)
class Step:
    """`state` is done, now or still; `note` is how long it took, or what it waits for."""

    name: str
    state: str
    note: str


@router.get("", dependencies=[allow(Permission.VIEW)])
def overview(request: Request, caller: Caller, services: CallServices) -> Response:
    now, engine, settings = services.now(), services.engine, services.settings
    thresholds = ThresholdStore(
        engine, default_count=settings.feedback_threshold, default_hours=settings.threshold_hours
    )
    last = newest_first(engine, cycles, tenant=caller.tenant, limit=1)
    came = activity(engine, caller.tenant, days=_DAYS, now=now)
    return render(
        request,
        "overview.html.j2",
        matters=matters(services, caller),
        activity=came,
        chart=feedback.chart(came),
        days=_DAYS,
        thresholds=[(one, _threshold_bar(one)) for one in thresholds.progress(caller.tenant, now)],
        cycle=last[0] if last else None,
        steps=_steps(engine, last[0]) if last else [],
        canaries=[
            (row, meter(row.share, 1, said=f"{row.share:.0%} of users"))
            for row in newest_first(
                engine,
                canaries,
                tenant=caller.tenant,
                limit=_MOST_CANARIES,
                at="started_at",
                where=(canaries.c.state == "running",),
            )
        ],
        month=this_month(engine, caller.tenant, month_of(now)),
        links=links,
    )


def _threshold_bar(progress: Progress) -> Markup:
    needed = progress.threshold.count
    return meter(
        needed if progress.is_reached else progress.counted,
        needed,
        said=f"{progress.counted:,} of {needed:,}",
        tone="good" if progress.is_reached else "",
    )


def _steps(engine: sa.Engine, cycle: "sa.Row[Any]") -> list[Step]:
    done = CycleStore(engine).stages(cycle.id)
    steps = []
    under_way = cycle.status != "finished"
    for name in _STAGES:
        if name in done and not (name == "canary" and cycle.status == "in_canary"):
            steps.append(Step(name, "done", lasted(done[name].seconds)))
        elif under_way:
            waits = {"awaiting_approval": "awaits approval", "in_canary": "with users"}.get(cycle.status)
            steps.append(Step(name, "now", waits or "at work"))
            under_way = False
        else:
            steps.append(Step(name, "still", ""))
    return steps
