"""The card of a model version: all that the store knows of it, read at once. It is made when it is asked for."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.datasets.lineage import ModelLineage, State, of_model
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.published import read_manifest
from gateway_tuning.errors import NotFoundError
from gateway_tuning.evaluation.store import StoredEvaluation
from gateway_tuning.registry.aliases import AliasChange
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.statuses import StatusChange
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import canaries, evaluations
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.cost.entry import CostEntry
from gateway_tuning.training.jobs import JobStore, TuningJob


@dataclass(frozen=True, slots=True)
class Trial:
    canary_id: str
    state: str
    control: str
    started_at: datetime
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """`manifest` is None where the dataset is gone or was none, `job` and `cost` where nothing is known of them.

    `aliases` name the version now; `moves` are those of its model that put it there.
    """

    version: ModelVersion
    aliases: tuple[str, ...]
    moves: tuple[AliasChange, ...]
    statuses: tuple[StatusChange, ...]
    lineage: ModelLineage
    manifest: Manifest | None
    job: TuningJob | None
    cost: CostEntry | None
    evaluations: tuple[StoredEvaluation, ...]
    trials: tuple[Trial, ...]


def model_card(engine: sa.Engine, objects: ObjectStore, version_id: str) -> ModelCard:
    """Raises NotFoundError."""
    registry = Registry(engine)
    version = registry.get(version_id)
    lineage = of_model(engine, version_id)
    named = registry.aliases(version.model).items()
    living = lineage.dataset is not None and lineage.dataset.state is State.LIVING
    return ModelCard(
        version=version,
        aliases=tuple(sorted(alias for alias, id_ in named if id_ == version_id)),
        moves=tuple(move for move in registry.alias_changes(version.model) if move.version_id == version_id),
        statuses=tuple(registry.status_changes(version_id)),
        lineage=lineage,
        manifest=read_manifest(objects, version.dataset_id) if living and version.dataset_id else None,
        job=_job(engine, version),
        cost=_cost(engine, version),
        evaluations=_evaluations(engine, version_id),
        trials=_trials(engine, version_id),
    )


def _job(engine: sa.Engine, version: ModelVersion) -> TuningJob | None:
    if version.job_key is None:
        return None
    try:
        return JobStore(engine).get(version.job_key)
    except NotFoundError:
        return None


def _cost(engine: sa.Engine, version: ModelVersion) -> CostEntry | None:
    if version.job_key is None:
        return None
    try:
        return CostStore(engine).get(version.job_key, tenant=version.tenant)
    except NotFoundError:
        return None


def _evaluations(engine: sa.Engine, version_id: str) -> tuple[StoredEvaluation, ...]:
    """Those that it was the candidate of, oldest first."""
    query = sa.select(evaluations).where(evaluations.c.candidate == version_id)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(evaluations.c.created_at, evaluations.c.id))
        return tuple(StoredEvaluation(**row._mapping) for row in rows)  # noqa: SLF001 - SQLAlchemy's public name


def _trials(engine: sa.Engine, version_id: str) -> tuple[Trial, ...]:
    mine = canaries.c
    query = sa.select(mine.id, mine.state, mine.control, mine.started_at, mine.reasons)
    with reading(engine) as connection:
        rows = connection.execute(query.where(mine.candidate == version_id).order_by(mine.started_at))
        return tuple(
            Trial(row.id, row.state, row.control, row.started_at, tuple(row.reasons)) for row in rows
        )
