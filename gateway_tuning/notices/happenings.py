"""What happened, read from the store: nothing that happens has to tell of itself, so nothing is lost by a crash."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from gateway_tuning.notices.failures import failed_run
from gateway_tuning.notices.notice import Kind, Notice, Severity, listed, notice_id
from gateway_tuning.notices.spending import spending_notices
from gateway_tuning.notices.store import NoticeStore
from gateway_tuning.rollout.verification import ARRIVES_WITHIN, UNVERIFIABLE
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import (
    approvals,
    canaries,
    cycle_stages,
    cycles,
    drift_reports,
    erasures,
    runs,
    shadows,
    tuning_jobs,
)

_LOOKS_BACK = timedelta(days=7)  # what nobody looked for in a week is no news
_GATES = {"pass": Severity.INFORMATION, "error": Severity.ALARM}
_ENDS = {
    "promoted": Severity.INFORMATION,
    "superseded": Severity.INFORMATION,
    "invalid": Severity.ALARM,
}


def find(engine: sa.Engine, store: NoticeStore, now: datetime) -> int:
    """Write what is new to the outbox, and return how much that is. Calling it again finds nothing more."""
    since = max(store.begin(now), now - _LOOKS_BACK)
    with reading(engine) as connection:
        found = [notice for look in _LOOKS for notice in look(connection, since, now)]
    found += spending_notices(engine, now)
    known = store.known(notice.id for notice in found)
    return store.add((notice for notice in found if notice.id not in known), now)


def _gates(connection: sa.Connection, since: datetime, _: datetime) -> Iterator[Notice]:
    query = (
        sa.select(cycles.c.tenant, cycles.c.model, cycle_stages)
        .join(cycles, cycles.c.id == cycle_stages.c.cycle_id)
        .where(cycle_stages.c.stage == "gate", cycle_stages.c.finished_at >= since)
    )
    for row in connection.execute(query):
        yield Notice(
            notice_id("gate", row.cycle_id),
            row.tenant,
            Kind.GATE,
            _GATES.get(row.object_id, Severity.WARNING),
            f"Gate of {row.model}: {row.object_id}",
            f"Cycle `{row.cycle_id}`.\n\n{listed(row.detail.get('reasons', []))}",
            row.cycle_id,
        )


def _ended_canaries(connection: sa.Connection, since: datetime, now: datetime) -> Iterator[Notice]:
    for row in connection.execute(sa.select(canaries).where(canaries.c.finished_at >= since)):
        # What a person gave as a reason stays in the audit log.
        why = (
            listed(row.reasons)
            if row.ended_by is None
            else "Somebody ended it; the audit log says who and why."
        )
        ended = row.state.replace("_", " ")
        yield Notice(
            notice_id("canary", row.id, "ended"),
            row.tenant,
            Kind.CANARY,
            _ENDS.get(row.state, Severity.WARNING),
            f"Canary of {row.model}: {ended}",
            f"Canary `{row.id}`: candidate `{row.candidate}` against `{row.control}`.\n\n{why}",
            row.id,
        )
        if _has_not_arrived(row, now):
            yield Notice(
                notice_id("canary", row.id, "not-arrived"),
                row.tenant,
                Kind.CANARY,
                Severity.ALARM,
                f"Canary of {row.model}: its end has not arrived at every gateway",
                f"Canary `{row.id}` ended {ended}, and a gateway serves something else or does not say. Users may be on "
                f"a version that they should not be on. See `gateway-tuning canary status`.",
                row.id,
            )


def _has_not_arrived(row: "sa.Row[tuple[object, ...]]", now: datetime) -> bool:
    asked = row.verification is not None and row.verification != UNVERIFIABLE
    return asked and row.verified_at is None and now - row.finished_at > ARRIVES_WITHIN


def _waiting_approvals(connection: sa.Connection, since: datetime, _: datetime) -> Iterator[Notice]:
    query = sa.select(approvals).where(approvals.c.created_at >= since, approvals.c.state == "pending")
    for row in connection.execute(query):
        yield Notice(
            notice_id("approval", row.id),
            row.tenant,
            Kind.APPROVAL,
            Severity.WARNING,
            f"{row.model} waits for an approval",
            f"Approval `{row.id}` of `{row.candidate}`, for {row.awaited_by} `{row.awaited_id}`.\n\n"
            f"{listed(row.reasons)}",
            row.id,
        )


def _jobs(connection: sa.Connection, since: datetime, _: datetime) -> Iterator[Notice]:
    is_news = sa.or_(
        sa.and_(tuning_jobs.c.status == "failed", tuning_jobs.c.updated_at >= since),
        sa.and_(tuning_jobs.c.status == "running", tuning_jobs.c.stale_since >= since),
    )
    for row in connection.execute(sa.select(tuning_jobs).where(is_news)):
        failed = row.status == "failed"
        what = "failed" if failed else "has stood still"
        happened = ("failed",) if failed else ("stale", row.stale_since.isoformat())
        yield Notice(
            notice_id("job", row.key, *happened),
            row.tenant,
            Kind.FAILURE,
            Severity.ALARM if failed else Severity.WARNING,
            f"Tuning job {row.key[:12]} at {row.provider} {what}",
            f"Job `{row.key[:12]}` tunes {row.spec.get('base_model')} on dataset `{row.spec.get('dataset_id')}`. "
            "What its provider said stands in `gateway-tuning jobs list`.",
            row.key,
        )


def _drift(connection: sa.Connection, since: datetime, _: datetime) -> Iterator[Notice]:
    for row in connection.execute(sa.select(drift_reports).where(drift_reports.c.created_at >= since)):
        state = row.result.get("state")
        if state not in {"drift", "error"}:
            continue
        whose = row.model or row.dataset_id
        told = "what users ask has changed" if state == "drift" else "the drift check could not be made"
        yield Notice(
            notice_id("drift", row.id),
            row.tenant,
            Kind.DRIFT,
            Severity.WARNING,
            f"{whose}: {told}",
            f"Report `{row.id}` against `{row.reference_id}`. `gateway-tuning drift show` tells what was found.",
            row.id,
        )


def _failed_runs(connection: sa.Connection, since: datetime, _: datetime) -> Iterator[Notice]:
    query = sa.select(runs).where(runs.c.status == "failed", runs.c.updated_at >= since)
    for row in connection.execute(query):
        yield failed_run(
            row.orchestrator_id or row.id,
            row.kind.replace("_", "-"),
            "failed",
            row.message,
            tenant=row.tenant,
        )


def _shadows(connection: sa.Connection, since: datetime, _: datetime) -> Iterator[Notice]:
    query = sa.select(shadows).where(shadows.c.state == "over_budget", shadows.c.finished_at >= since)
    for row in connection.execute(query):
        yield Notice(
            notice_id("shadow", row.id),
            row.tenant,
            Kind.COST,
            Severity.WARNING,
            f"Shadow of {row.model} ended: its budget is used up",
            f"Shadow `{row.id}` mirrored {row.requests} requests for {row.spent} of {row.budget} {row.currency}.",
            row.id,
        )


def _incomplete_erasures(connection: sa.Connection, since: datetime, _: datetime) -> Iterator[Notice]:
    query = sa.select(erasures.c.id, erasures.c.tenant).where(
        erasures.c.state == "incomplete", erasures.c.erased_at >= since
    )
    for row in connection.execute(query):
        yield Notice(
            notice_id("erasure", row.id),
            row.tenant,
            Kind.FAILURE,
            Severity.ALARM,
            "An erasure is incomplete",
            f"Erasure `{row.id}`: its certificate names what is left. `erase-subject` tries it again every hour.",
            row.id,
        )


_Look = Callable[[sa.Connection, datetime, datetime], Iterator[Notice]]
_LOOKS: tuple[_Look, ...] = (
    _gates,
    _ended_canaries,
    _waiting_approvals,
    _jobs,
    _drift,
    _failed_runs,
    _shadows,
    _incomplete_erasures,
)
