"""From feedback to models and back: which examples and datasets a record went into, and what learned from them.

Subjects are counted and never named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from io import BytesIO

import pyarrow.parquet as pq
import sqlalchemy as sa

from gateway_tuning.datasets.deleted import deletion_of
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.published import read_manifest
from gateway_tuning.datasets.retired import successor
from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.receipts import FeedbackReceipt, receipt
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import (
    UtcDateTime,
    dataset_feedback,
    datasets,
    drift_reports,
    evaluations,
    model_versions,
)


class State(StrEnum):
    LIVING = "living"
    ERASED = "erased"  # it held an erased person; `successor` is what is left of it
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Trained:
    version_id: str
    holds_erased_since: datetime | None


@dataclass(frozen=True, slots=True)
class DatasetLineage:
    """`used`, `left_out` and `subjects` are None of a dataset from before lineage was kept.

    `told` says why it is gone. An erasure takes the erased person's records out of the counts.
    """

    dataset_id: str
    tenant: str
    state: State
    created_at: datetime
    retired_at: datetime | None
    told: str | None
    successor: str | None
    predecessors: tuple[str, ...]  # that it replaces
    used: int | None
    left_out: int | None
    subjects: int | None
    models: tuple[Trained, ...]
    evaluations: tuple[str, ...]
    drift_reports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelLineage:
    """`dataset` is None of a model that was not trained here."""

    version_id: str
    tenant: str
    base_model: str
    holds_erased_since: datetime | None
    dataset: DatasetLineage | None


@dataclass(frozen=True, slots=True)
class Trace:
    example_id: str
    split: str
    kind: str
    feedback_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InDataset:
    """`examples` are None where the dataset is gone. What was left out taught nobody: it has no `models`."""

    dataset: DatasetLineage
    used: bool
    reason: str | None
    examples: tuple[Trace, ...] | None
    models: tuple[Trained, ...]


@dataclass(frozen=True, slots=True)
class FeedbackLineage:
    receipt: FeedbackReceipt
    datasets: tuple[InDataset, ...]


def of_dataset(engine: sa.Engine, dataset_id: str, *, tenant: str | None = None) -> DatasetLineage:
    """Raises NotFoundError of a dataset that was never catalogued; what another tenant owns is not found either."""
    with reading(engine) as connection:
        return _of_dataset(connection, dataset_id, tenant)


def of_model(engine: sa.Engine, version_id: str, *, tenant: str | None = None) -> ModelLineage:
    """Raises NotFoundError."""
    mine = model_versions.c
    query = sa.select(mine.tenant, mine.base_model, mine.dataset_id, mine.holds_erased_since)
    with reading(engine) as connection:
        row = connection.execute(query.where(mine.id == version_id)).one_or_none()
        if row is None or tenant not in {None, row.tenant}:
            raise NotFoundError(f"No model version {version_id}; `gateway-tuning models` lists them")
        trained_on = None if row.dataset_id is None else _of_dataset(connection, row.dataset_id, row.tenant)
        return ModelLineage(version_id, row.tenant, row.base_model, row.holds_erased_since, trained_on)


def of_feedback(engine: sa.Engine, objects: ObjectStore, feedback_id: str, *, tenant: str) -> FeedbackLineage:
    """Reads the ids of every example of each living dataset that used the record.

    Raises:
        NotFoundError: the tenant has no such feedback.
    """
    found = receipt(engine, tenant, feedback_id)
    return FeedbackLineage(
        found,
        tuple(
            _in_dataset(engine, objects, feedback_id, one.dataset_id, used=one.used, reason=one.reason)
            for one in found.datasets
        ),
    )


def traces(objects: ObjectStore, manifest: Manifest) -> Iterator[Trace]:
    """Every example with the feedback it was made of; a part is held at a time."""
    columns = ["id", "split", "kind", "feedback_ids"]
    for part in manifest.parts:
        table = pq.read_table(BytesIO(objects.read(part.key, sha256=part.sha256)), columns=columns)
        for row in table.to_pylist():
            yield Trace(row["id"], row["split"], row["kind"], tuple(row["feedback_ids"]))


def _in_dataset(
    engine: sa.Engine,
    objects: ObjectStore,
    feedback_id: str,
    dataset_id: str,
    *,
    used: bool,
    reason: str | None,
) -> InDataset:
    dataset = of_dataset(engine, dataset_id)
    examples = None
    if dataset.state is State.LIVING:
        every = traces(objects, read_manifest(objects, dataset_id)) if used else iter(())
        examples = tuple(trace for trace in every if feedback_id in trace.feedback_ids)
    return InDataset(dataset, used, reason, examples, dataset.models if used else ())


def _of_dataset(connection: sa.Connection, dataset_id: str, tenant: str | None) -> DatasetLineage:
    rows = connection.execute(
        sa.select(
            datasets.c.tenant,
            sa.func.min(datasets.c.created_at, type_=UtcDateTime()).label("created_at"),
            sa.func.max(datasets.c.retired_at, type_=UtcDateTime()).label("retired_at"),
        )
        .where(datasets.c.id == dataset_id)
        .group_by(datasets.c.tenant)
    ).all()
    if not rows or tenant not in {None, rows[0].tenant}:
        raise NotFoundError(f"No dataset {dataset_id}; `gateway-tuning datasets` lists them")
    row = rows[0]
    state, told = _standing(connection, dataset_id, row.retired_at)
    used, left_out, subjects = _feedback(connection, dataset_id)
    of_id = model_versions.c.dataset_id == dataset_id
    models = sa.select(model_versions.c.id, model_versions.c.holds_erased_since).where(of_id)
    before = sa.select(datasets.c.id).where(datasets.c.replaced_by == dataset_id).distinct()
    evaluated = sa.select(evaluations.c.id).where(evaluations.c.dataset_id == dataset_id)
    drifted = sa.select(drift_reports.c.id).where(drift_reports.c.dataset_id == dataset_id)
    return DatasetLineage(
        dataset_id=dataset_id,
        tenant=row.tenant,
        state=state,
        created_at=row.created_at,
        retired_at=row.retired_at,
        told=told,
        successor=None if state is State.LIVING else successor(connection, dataset_id),
        predecessors=_ids(connection, before.order_by(datasets.c.id)),
        used=used,
        left_out=left_out,
        subjects=subjects,
        models=tuple(Trained(*found) for found in connection.execute(models.order_by(model_versions.c.id))),
        evaluations=_ids(connection, evaluated.order_by(evaluations.c.id)),
        drift_reports=_ids(connection, drifted.order_by(drift_reports.c.id)),
    )


def _standing(
    connection: sa.Connection, dataset_id: str, retired_at: datetime | None
) -> tuple[State, str | None]:
    if retired_at is None:
        return State.LIVING, None
    deletion = deletion_of(connection, dataset_id)
    if deletion is not None:
        return State.DELETED, deletion.told
    return State.ERASED, f"held data of a person who was erased, and went on {retired_at:%Y-%m-%d %H:%M} UTC"


def _feedback(connection: sa.Connection, dataset_id: str) -> tuple[int | None, int | None, int | None]:
    mine = dataset_feedback.c
    row = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(sa.case((mine.used, 1))),
            sa.func.count(sa.distinct(sa.case((mine.used, mine.subject_id)))),
        ).where(mine.dataset_id == dataset_id)
    ).one()
    records, used, subjects = row
    return (used, records - used, subjects) if records else (None, None, None)


def _ids(connection: sa.Connection, query: sa.Select[tuple[str]]) -> tuple[str, ...]:
    return tuple(connection.execute(query).scalars())
