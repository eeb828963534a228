"""Datasets without the person: the rest is a new dataset under a new manifest, the old one is retired."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa

from gateway_tuning.datasets import splits
from gateway_tuning.datasets.catalog import add_dataset, add_lineage, remove_objects
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.manifest import Counts, Leakage, Manifest
from gateway_tuning.datasets.published import (
    count_by_split_and_kind,
    read_all,
    read_manifest,
    read_rejected,
    write_dataset,
)
from gateway_tuning.datasets.quality.rejected import Rejected, without_subjects
from gateway_tuning.erasure.store import Erasure, note_datasets
from gateway_tuning.errors import IntegrityError, NotFoundError
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import dataset_feedback, datasets, model_versions
from gateway_tuning.storage.tenants import lock_tenant

logger = logging.getLogger("gateway_tuning.erasure")

ERASED = "erased"
_CO_SOURCE = "its example was made of the words of an erased person too"
Holds = Callable[[Example], bool]


def datasets_holding(engine: sa.Engine, erasure: Erasure) -> list[str]:
    """Living datasets to be looked into: those with the person in their lineage, and those from before lineage was kept.

    Datasets that were catalogued after the erasure began were checked then, and may hold what the person said later.
    """
    of_dataset = dataset_feedback.c.dataset_id == datasets.c.id
    with_person = sa.exists().where(
        of_dataset, dataset_feedback.c.subject_id == erasure.subject_id, dataset_feedback.c.used
    )
    query = (
        sa.select(datasets.c.id)
        .where(datasets.c.tenant == erasure.tenant, datasets.c.retired_at.is_(None))
        .where(datasets.c.created_at <= erasure.erased_at)
        .where(sa.or_(with_person, ~sa.exists().where(of_dataset)))
        .distinct()
        .order_by(datasets.c.id)
    )
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def rewrite(
    engine: sa.Engine,
    objects: ObjectStore,
    erasure: Erasure,
    dataset_id: str,
    *,
    holds: Holds,
    now: datetime,
) -> bool:
    """Take the person out of a dataset. False when it does not hold them, or another erasure was quicker.

    The new dataset is catalogued, the old one retired and its models marked in one transaction; only then do the
    old objects go. Killed in between, the next attempt writes the same dataset again.
    """
    old, examples, rejected = _read(objects, dataset_id)
    kept = [example for example in examples if not holds(example)]
    if old is not None and len(kept) == len(examples) and not _has_lineage(engine, dataset_id):
        return False
    new = None
    if old is not None and kept:
        new = write_dataset(
            kept,
            counts_without(old.counts, kept),
            old.recipe,
            objects,
            tenant=old.tenant,
            anonymizer=old.anonymizer,
            replaces=dataset_id,
            leakage=_leakage_without(old.leakage, kept),
            rejected=without_subjects(rejected, frozenset({erasure.subject_id})),
        )
    with engine.begin() as connection:
        lock_tenant(connection, erasure.tenant)
        if not _retire(connection, erasure, dataset_id, new, now):
            if new is not None:
                remove_objects(objects, new.dataset_id)
            return False
        if new is not None:
            _copy_lineage(connection, erasure, dataset_id, new, kept)
    remove_objects(objects, dataset_id)
    return True


def _read(objects: ObjectStore, dataset_id: str) -> tuple[Manifest | None, list[Example], list[Rejected]]:
    """Nothing where a part cannot be read: nobody can tell what it holds, so it goes whole."""
    try:
        manifest = read_manifest(objects, dataset_id)
        return manifest, read_all(objects, manifest), read_rejected(objects, manifest)
    except (IntegrityError, NotFoundError) as error:
        logger.warning("dataset %s cannot be read and goes whole: %s", dataset_id, error)
        return None, [], []


def _leakage_without(leakage: Leakage | None, kept: Sequence[Example]) -> Leakage | None:
    """What is left is no more alike than all of it was; examples that are gone are no longer named."""
    if leakage is None:
        return None
    ids = {example.id for example in kept}
    gone = {name: None for name in ("test_example", "train_example") if getattr(leakage, name) not in ids}
    return leakage.model_copy(update=gone)


def counts_without(counts: Counts, kept: Sequence[Example]) -> Counts:
    """The counts of a dataset of which these examples are left: records used for others alone count as erased."""
    used = len({id_ for example in kept for id_ in example.feedback_ids})
    left_out = dict(counts.left_out)
    left_out[ERASED] = left_out.get(ERASED, 0) + counts.used - used
    return counts.model_copy(
        update={
            "used": used,
            "left_out": dict(sorted(left_out.items())),
            "examples": count_by_split_and_kind(kept),
            "groups": len({example.group_id for example in kept}),
            "shared_groups": len(splits.shared_groups(kept)),
        }
    )


def _has_lineage(engine: sa.Engine, dataset_id: str) -> bool:
    query = sa.select(dataset_feedback.c.feedback_id).where(dataset_feedback.c.dataset_id == dataset_id)
    with reading(engine) as connection:
        return connection.execute(query.limit(1)).first() is not None


def _retire(
    connection: sa.Connection, erasure: Erasure, dataset_id: str, new: Manifest | None, now: datetime
) -> bool:
    living = (datasets.c.id == dataset_id, datasets.c.retired_at.is_(None))
    rows = connection.execute(sa.select(datasets).where(*living).order_by(datasets.c.created_at)).all()
    if not rows:
        return False
    replaced_by = None if new is None else new.dataset_id
    connection.execute(sa.update(datasets).where(*living).values(retired_at=now, replaced_by=replaced_by))
    if new is not None:
        build_key = sha256(f"{dataset_id}\x1f{new.dataset_id}".encode()).hexdigest()
        # It is as old as the data in it: other erasures go by this time.
        first = rows[0]
        add_dataset(
            connection, new, build_key=build_key, watermark=first.watermark, created_at=first.created_at
        )
    connection.execute(
        sa.update(model_versions)
        .where(model_versions.c.dataset_id == dataset_id, model_versions.c.holds_erased_since.is_(None))
        .values(holds_erased_since=erasure.erased_at)
    )
    note_datasets(connection, erasure.id, {dataset_id: replaced_by})
    return True


def _copy_lineage(
    connection: sa.Connection, erasure: Erasure, dataset_id: str, new: Manifest, kept: Sequence[Example]
) -> None:
    used = {id_ for example in kept for id_ in example.feedback_ids}
    mine = dataset_feedback.c
    rows = connection.execute(
        sa.select(mine.feedback_id, mine.subject_id, mine.used, mine.reason).where(
            mine.dataset_id == dataset_id,
            sa.or_(mine.subject_id.is_(None), mine.subject_id != erasure.subject_id),
        )
    ).all()
    add_lineage(
        connection,
        new,
        [
            {
                "feedback_id": row.feedback_id,
                "subject_id": row.subject_id,
                "used": row.used and row.feedback_id in used,
                "reason": _CO_SOURCE if row.used and row.feedback_id not in used else row.reason,
            }
            for row in rows
        ],
    )
