"""Tuning cycles: the stages each went through, what they made, and the runs in Prefect that did it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from starlette.responses import Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api import cycles as api
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.dashboard.spans import lasted
from gateway_tuning.api.dashboard.wording import tone
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.cycles.cycle import Cycle, CycleStatus, Stage
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.describing.settings import flat, shown
from gateway_tuning.evaluation.reporting.figures import signed
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.paging import owned_row
from gateway_tuning.storage.tables import approvals, canaries, cycle_stages, cycles, tuning_jobs
from gateway_tuning.training.job import JobStatus

router = page_router()

STAGES = ("dataset", "train", "evaluate", "drift", "gate", "canary")
_LINKS = {
    "dataset": links.dataset,
    "train": links.version,
    "evaluate": links.evaluation,
    "drift": links.drift_report,
    "canary": links.canary,
}


@dataclass(frozen=True, slots=True)
class Step:
    """`state` is done, under way, waiting or not reached; `url` leads to what the stage made.

    `tone` is how what it found is coloured: good, bad, note or nothing.
    """

    name: str
    state: str
    made: str | None
    url: str | None
    took: str | None
    finished_at: datetime | None
    told: str
    tone: str
    reasons: tuple[str, ...]


@router.get("/cycles", dependencies=[allow(Permission.VIEW)])
def list_cycles(request: Request, caller: Caller, services: CallServices, few: Few) -> Response:
    page = api.list_cycles(request, caller, services, few)
    return render(
        request,
        "cycles.html.j2",
        cycles=page.items,
        done=_stages_done(services, [one.id for one in page.items]),
        stages=STAGES,
        lasted=lasted,
        next=page.next,
        first=first_page(request),
        links=links,
    )


@router.get("/cycles/{cycle_id}", dependencies=[allow(Permission.VIEW)])
def show_cycle(request: Request, caller: Caller, services: CallServices, cycle_id: str) -> Response:
    owned_row(services.engine, cycles, cycle_id, tenant=caller.tenant, what="cycle")
    store = CycleStore(services.engine)
    cycle, stages = store.get(cycle_id), store.stages(cycle_id)
    jobs, canary_state, waits = _around(services, cycle, stages)
    return render(
        request,
        "cycle.html.j2",
        cycle=cycle,
        steps=steps(cycle, stages, canary_state=canary_state),
        jobs=jobs,
        waits=waits,
        plan=[(name, shown(name, value)) for name, value in flat(cycle.plan)],
        run_url=links.prefect_run(services.settings, cycle.run_id),
        took=lasted(((cycle.finished_at or services.now()) - cycle.created_at).total_seconds()),
        links=links,
    )


def steps(cycle: Cycle, stages: Mapping[str, Stage], *, canary_state: str | None) -> list[Step]:
    """All stages in their order, also those that the cycle has not come to."""
    found: list[Step] = []
    going_on = cycle.status is not CycleStatus.FINISHED
    for name in STAGES:
        stage = stages.get(name)
        if stage is None:
            state = "not reached"
            if going_on:
                waits = cycle.status is CycleStatus.AWAITING_APPROVAL or cycle.reasons
                state = "waiting" if waits else "under way"
                going_on = False
            found.append(Step(name, state, None, None, None, None, "", "", ()))
            continue
        running = name == "canary" and canary_state == "running"
        url = _LINKS[name](stage.result.id) if name in _LINKS else None
        told, reasons = _told(name, stage, canary_state)
        found.append(
            Step(
                name,
                "under way" if running else "done",
                stage.result.id,
                url,
                # Beginning a canary takes no time; how long it runs stands on its own page.
                None if name == "canary" else lasted(stage.seconds),
                stage.finished_at,
                told,
                _tone(name, stage, canary_state),
                reasons,
            )
        )
    return found


def _told(name: str, stage: Stage, canary_state: str | None) -> tuple[str, tuple[str, ...]]:
    """A sentence, and reasons, from what the stage left; earlier versions left less."""
    detail = stage.result.detail
    if name == "dataset" and "used" in detail:
        examples = sum(count for kinds in detail.get("examples", {}).values() for count in kinds.values())
        return f"{examples:,} examples of {detail['used']:,} of {detail['records']:,} records", ()
    if name == "train":
        losses = [f"{key.replace('_', ' ')} {value:.4g}" for key, value in _losses(detail)]
        return ", ".join(losses), ()
    if name == "evaluate":
        return _difference(detail), ()
    if name == "drift":
        return str(detail.get("state", "")).replace("_", " "), tuple(detail.get("reasons", ()))
    if name == "gate":
        return stage.result.id, tuple(detail.get("reasons", ()))
    return (canary_state or "").replace("_", " "), ()


def _tone(name: str, stage: Stage, canary_state: str | None) -> str:
    if name == "gate":
        return {"pass": "good", "inconclusive": "note"}.get(stage.result.id, "bad")
    state = {"drift": stage.result.detail.get("state"), "canary": canary_state}.get(name)
    return tone(state)


def _losses(detail: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in sorted(detail.get("metrics", {}).items()) if "loss" in name]


def _difference(detail: Mapping[str, Any]) -> str:
    found = detail.get("difference")
    if found is None or found.get("mean") is None:
        return str(detail.get("state", "")).replace("_", " ")
    told = f"{str(detail.get('primary')).replace('_', ' ')} {signed(found['mean'])}"
    if found.get("low") is None or found.get("high") is None:
        return told
    return f"{told} ({signed(found['low'])} to {signed(found['high'])})"


def _stages_done(services: Services, ids: Sequence[str]) -> dict[str, set[str]]:
    done: dict[str, set[str]] = {id_: set() for id_ in ids}
    query = sa.select(cycle_stages.c.cycle_id, cycle_stages.c.stage).where(cycle_stages.c.cycle_id.in_(ids))
    with reading(services.engine) as connection:
        for row in connection.execute(query):
            done[row.cycle_id].add(row.stage)
    return done


def _around(
    services: Services, cycle: Cycle, stages: Mapping[str, Stage]
) -> tuple[list["sa.Row[Any]"], str | None, list["sa.Row[Any]"]]:
    """Jobs under way in its run, the state of its canary, and the approvals that it awaits."""
    jobs = sa.select(tuning_jobs.c.key, tuning_jobs.c.progress, tuning_jobs.c.message).where(
        tuning_jobs.c.tenant == cycle.tenant,
        tuning_jobs.c.run_id == cycle.run_id,
        tuning_jobs.c.status.in_([status.value for status in JobStatus if not status.is_terminal]),
    )
    waits = sa.select(approvals.c.id, approvals.c.candidate, approvals.c.created_at).where(
        approvals.c.tenant == cycle.tenant,
        approvals.c.awaited_by == "cycle",
        approvals.c.awaited_id == cycle.id,
        approvals.c.state == "pending",
    )
    begun = stages.get("canary")
    canary = sa.select(canaries.c.state).where(
        canaries.c.id == (None if begun is None else begun.result.id), canaries.c.tenant == cycle.tenant
    )
    with reading(services.engine) as connection:
        return (
            [] if cycle.run_id is None else list(connection.execute(jobs)),
            None if begun is None else connection.execute(canary).scalar(),
            list(connection.execute(waits)),
        )
