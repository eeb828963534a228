"""Which models users meet, and what is under way for each already."""

from dataclasses import dataclass

import sqlalchemy as sa

from gateway_tuning.cycles.cycle import CycleStatus
from gateway_tuning.registry.model_version import STABLE
from gateway_tuning.runs.orchestrator import RunStatus
from gateway_tuning.runs.run import RunKind
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import aliases, approvals, cycles, model_versions, runs


@dataclass(frozen=True, slots=True)
class Served:
    tenant: str
    model: str
    version_id: str


def served_models(engine: sa.Engine, *, tenant: str | None = None, model: str | None = None) -> list[Served]:
    """Models with a stable version, by tenant and name; all where none is named."""
    query = (
        sa.select(model_versions.c.tenant, aliases.c.model, aliases.c.version_id)
        .join(model_versions, model_versions.c.id == aliases.c.version_id)
        .where(aliases.c.alias == STABLE)
        .order_by(model_versions.c.tenant, aliases.c.model)
    )
    if tenant is not None:
        query = query.where(model_versions.c.tenant == tenant)
    if model is not None:
        query = query.where(aliases.c.model == model)
    with reading(engine) as connection:
        return [Served(*row) for row in connection.execute(query)]


def under_way(engine: sa.Engine, tenant: str, model: str) -> str | None:
    """In words, what makes another cycle of the model needless: an unfinished one, or one that is about to begin."""
    unfinished = sa.select(cycles.c.id).where(
        cycles.c.tenant == tenant, cycles.c.model == model, cycles.c.status != CycleStatus.FINISHED.value
    )
    asked = (
        sa.select(approvals.c.id)
        .join(runs, sa.and_(approvals.c.awaited_by == "run", runs.c.id == approvals.c.awaited_id))
        .where(approvals.c.tenant == tenant, approvals.c.model == model, approvals.c.state == "pending")
        .where(runs.c.kind == RunKind.TUNING_CYCLE.value)
    )
    unstarted = (
        sa.select(runs.c.id, runs.c.parameters)
        .where(runs.c.tenant == tenant, runs.c.kind == RunKind.TUNING_CYCLE.value)
        .where(runs.c.status == RunStatus.QUEUED.value, runs.c.orchestrator_id.is_(None))
    )
    with reading(engine) as connection:
        cycle_id = connection.execute(unfinished).scalar()
        approval_id = connection.execute(asked).scalar()
        due = [
            run.id for run in connection.execute(unstarted) if run.parameters["plan"].get("model") == model
        ]
    if cycle_id is not None:
        return f"cycle {cycle_id} is under way"
    if approval_id is not None:
        return f"approval {approval_id} waits for a decision"
    return f"run {due[0]} is about to start" if due else None
