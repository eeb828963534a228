"""A fresh search for what is left of an erased person, by the subject id and the keyed names of their records."""

from dataclasses import dataclass

import sqlalchemy as sa

from gateway_tuning.datasets import parquet
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.quality import rejected
from gateway_tuning.datasets.quality.rejected import Rejected
from gateway_tuning.erasure.derived import drift_reports_on
from gateway_tuning.erasure.leftovers import folders, retired_datasets
from gateway_tuning.erasure.store import Erasure, ErasureStore
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore, sha256_hex
from gateway_tuning.storage.tables import (
    UtcDateTime,
    dataset_feedback,
    datasets,
    enrichments,
    evaluations,
    feedback,
    judgements,
    predictions,
    quarantine,
    quarantine_reviews,
    rating_tokens,
)

SEARCHED = (
    "table feedback: records of the subject up to the erasure",
    "table quarantine: rows of the subject up to the erasure, and rows of erased records",
    "tables enrichments, quarantine_reviews and rating_tokens: rows of erased records",
    "table dataset_feedback: lineage of the subject up to the erasure",
    "table evaluations: samples of retired datasets",
    "tables predictions and judgements: rows of retired datasets",
    "object storage, datasets: every part of every dataset, catalogued or not; nothing beside what manifests name",
    "object storage, evaluations and drift: objects of retired datasets",
)


@dataclass(frozen=True, slots=True)
class _Known:
    """Living datasets from before the erasure, living ones from after it, retired ones."""

    before: frozenset[str]
    after: frozenset[str]
    retired: frozenset[str]


def search(engine: sa.Engine, objects: ObjectStore, erasure: Erasure) -> list[str]:
    """What was found, one line a place; empty when the person is gone. Objects that vanish meanwhile are gone."""
    known = _known(engine, erasure)
    return [
        *_rows(engine, erasure, known),
        *_dataset_objects(engine, objects, erasure, known),
        *_derived_objects(engine, objects, known),
    ]


def _known(engine: sa.Engine, erasure: Erasure) -> _Known:
    at = sa.func.min(datasets.c.created_at, type_=UtcDateTime())
    living = sa.select(datasets.c.id, at).where(datasets.c.retired_at.is_(None)).group_by(datasets.c.id)
    with reading(engine) as connection:
        rows = connection.execute(living).tuples().all()
    return _Known(
        before=frozenset(id_ for id_, created_at in rows if created_at <= erasure.erased_at),
        after=frozenset(id_ for id_, created_at in rows if created_at > erasure.erased_at),
        retired=frozenset(retired_datasets(engine)),
    )


def _rows(engine: sa.Engine, erasure: Erasure, known: _Known) -> list[str]:
    tenant, subject = erasure.tenant, erasure.subject_id
    is_erased = ErasureStore(engine).names_erased_feedback(erasure)
    found = []
    with reading(engine) as connection:
        said = sa.select(sa.func.count()).where(
            feedback.c.tenant == tenant,
            feedback.c.subject_id == subject,
            feedback.c.event_time <= erasure.erased_at,
        )
        aside = sa.select(sa.func.count()).where(
            quarantine.c.tenant == tenant,
            quarantine.c.subject_id == subject,
            quarantine.c.created_at <= erasure.erased_at,
        )
        lineage = sa.select(sa.func.count()).where(
            dataset_feedback.c.tenant == tenant,
            dataset_feedback.c.subject_id == subject,
            dataset_feedback.c.dataset_id.in_(known.before | known.retired),
        )
        for name, query in (("feedback", said), ("quarantine", aside), ("dataset_feedback", lineage)):
            count = connection.execute(query).scalar_one()
            if count:
                found.append(f"table {name}: {count} rows")
        for table in (quarantine, quarantine_reviews, enrichments, rating_tokens):
            ids = sa.select(table.c.feedback_id).where(
                table.c.tenant == tenant, table.c.feedback_id.is_not(None)
            )
            # An id may be used again: then the row is of the record that stands in the store now.
            used_again = sa.exists().where(feedback.c.tenant == tenant, feedback.c.id == table.c.feedback_id)
            count = sum(map(is_erased, connection.execute(ids.where(~used_again).distinct()).scalars()))
            if count:
                found.append(f"table {table.name}: rows of {count} erased records")
        quoting = sa.select(evaluations.c.id, evaluations.c.result).where(
            evaluations.c.dataset_id.in_(known.retired)
        )
        found += [
            f"table evaluations: {row.id} has samples"
            for row in connection.execute(quoting)
            if any(row.result.get(name) for name in ("best", "worst", "most_changed"))
        ]
        for table in (predictions, judgements):
            of_retired = (
                sa.select(sa.func.count()).select_from(table).where(table.c.dataset_id.in_(known.retired))
            )
            count = connection.execute(of_retired).scalar_one()
            if count:
                found.append(f"table {table.name}: {count} rows of retired datasets")
    return found


def _dataset_objects(engine: sa.Engine, objects: ObjectStore, erasure: Erasure, known: _Known) -> list[str]:
    is_erased = ErasureStore(engine).names_erased_feedback(erasure)
    with reading(engine) as connection:
        mine = sa.select(feedback.c.id).where(
            feedback.c.tenant == erasure.tenant, feedback.c.subject_id == erasure.subject_id
        )
        said_later = set(connection.execute(mine).scalars())

    def holds(example: Example | Rejected) -> bool:
        return erasure.subject_id in example.subject_ids or any(map(is_erased, example.feedback_ids))

    def holds_erased_words(example: Example | Rejected) -> bool:
        return any(is_erased(id_) for id_ in example.feedback_ids if id_ not in said_later)

    found = []
    for dataset_id, keys in folders(objects, layout.DATASETS).items():
        if dataset_id in known.retired:
            found.append(f"objects of retired dataset {dataset_id}")
            continue
        if dataset_id in known.before | known.after:
            found += _strangers(objects, dataset_id, keys)
        # A dataset that was catalogued later may hold what the person said later.
        held = holds_erased_words if dataset_id in known.after else holds
        for key in keys:
            if key.endswith(".parquet"):
                read = (
                    rejected.decode
                    if key.startswith(layout.dataset_rejected_folder(dataset_id))
                    else parquet.decode
                )
                try:
                    count = sum(map(held, read(objects.read(key))))
                except NotFoundError:
                    continue
                if count:
                    found.append(f"object {key}: {count} examples")
    return found


def _strangers(objects: ObjectStore, dataset_id: str, keys: list[str]) -> list[str]:
    """Exports name no subject: each must be the one that the manifest was written with."""
    manifest = Manifest.decode(objects.read(layout.dataset_manifest(dataset_id)))
    named = manifest.checksums()
    others = set(keys) - named.keys() - {layout.dataset_manifest(dataset_id)}
    found = [f"object {key}: no manifest names it" for key in sorted(others)]
    changed = [
        export.key for export in manifest.exports if sha256_hex(objects.read(export.key)) != export.sha256
    ]
    return found + [f"object {key}: not what the manifest says" for key in changed]


def _derived_objects(engine: sa.Engine, objects: ObjectStore, known: _Known) -> list[str]:
    with reading(engine) as connection:
        asked = dict(connection.execute(sa.select(evaluations.c.id, evaluations.c.dataset_id)).tuples().all())
    found = [
        f"objects of evaluation {evaluation_id}"
        for evaluation_id in folders(objects, layout.EVALUATIONS)
        if asked.get(evaluation_id) in known.retired
    ]
    drawn = folders(objects, layout.DRIFT)
    return found + [
        f"objects of drift report {report_id}"
        for report_id, ids in drift_reports_on(engine)
        if report_id in drawn and ids & known.retired
    ]
