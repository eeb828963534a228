"""What lies in the stores and on this machine and should not: what is of retired datasets, leftovers of killed runs.

A run that was killed leaves objects that no row names. They are judged by what they hold; where that cannot be
told, they go: whatever a run still needs, it can make again.
"""

import io
import shutil
from collections import defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from gateway_tuning.datasets.catalog import remove_objects
from gateway_tuning.erasure.places import Places
from gateway_tuning.errors import NotFoundError
from gateway_tuning.evaluation.judging.store import forget_judgements
from gateway_tuning.evaluation.running.store import forget_predictions
from gateway_tuning.evaluation.table import DATASET_METADATA
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import datasets, erasures, evaluations
from gateway_tuning.storage.tenants import lock_tenant
from gateway_tuning.training.job import exports_folder


def remove_leftovers(places: Places) -> None:
    """Safe while others build and evaluate: what they have not catalogued yet they find missing, and make again."""
    retired = retired_datasets(places.engine)
    _remove_rows(places.engine, retired)
    _remove_dataset_folders(places, retired)
    _remove_evaluation_folders(places, retired)
    for key in places.objects.list_keys(layout.BUILDS):
        places.objects.delete(key)
    for folder in (layout.DATASETS, layout.BUILDS, layout.EVALUATIONS, layout.DRIFT):
        places.objects.delete_partials(folder)
    for dataset_id in retired:
        copies = exports_folder(places.cache_dir, dataset_id)
        if copies.exists():
            shutil.rmtree(copies)
    _remove_reports(places, retired)


def _remove_rows(engine: sa.Engine, retired: set[str]) -> None:
    """Who writes any holds the tenant's lock and finds the dataset living: none comes after this."""
    with engine.begin() as connection:
        forget_predictions(connection, retired)
        forget_judgements(connection, retired)


def retired_datasets(engine: sa.Engine, tenant: str | None = None) -> set[str]:
    query = sa.select(datasets.c.id).where(datasets.c.retired_at.is_not(None))
    if tenant is not None:
        query = query.where(datasets.c.tenant == tenant)
    with reading(engine) as connection:
        return set(connection.execute(query).scalars())


def folders(objects: ObjectStore, root: str) -> dict[str, list[str]]:
    """Keys by the name of their folder below the root."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in objects.list_keys(root):
        found[key.split("/")[1]].append(key)
    return dict(found)


def subjects_in(data: bytes) -> set[str] | None:
    """The subjects named in a part; None where it names none because it is older, or is no Parquet file."""
    try:
        column = pq.read_table(io.BytesIO(data), columns=["subject_ids"])
    except (pa.ArrowInvalid, OSError):
        return None
    if "subject_ids" not in column.column_names:
        return None
    return {subject for subjects in column["subject_ids"].to_pylist() for subject in subjects}


def _remove_dataset_folders(places: Places, retired: set[str]) -> None:
    with reading(places.engine) as connection:
        tenants = dict(connection.execute(sa.select(erasures.c.subject_id, erasures.c.tenant)).tuples().all())
        known = set(connection.execute(sa.select(datasets.c.id)).scalars())
    for dataset_id, keys in folders(places.objects, layout.DATASETS).items():
        if dataset_id in retired:
            remove_objects(places.objects, dataset_id)
        elif dataset_id not in known:
            held = _held(places.objects, keys)
            if held is None or held & tenants.keys():
                _remove_uncatalogued(
                    places, dataset_id, {tenants[subject] for subject in held or () if subject in tenants}
                )


def _held(objects: ObjectStore, keys: list[str]) -> set[str] | None:
    """Subjects in an uncatalogued folder; None where it cannot be told."""
    parts = [key for key in keys if layout.names_subjects(key)]
    if not parts:
        return None
    held: set[str] = set()
    for key in parts:
        try:
            subjects = subjects_in(objects.read(key))
        except NotFoundError:  # a refused build removes it right now
            continue
        if subjects is None:
            return None
        held |= subjects
    return held


def _remove_uncatalogued(places: Places, dataset_id: str, tenants: set[str]) -> None:
    """Whoever catalogues it at this moment waits for the same lock, and then finds its objects missing."""
    with places.engine.begin() as connection:
        for tenant in sorted(tenants):
            lock_tenant(connection, tenant)
        known = sa.select(datasets.c.id).where(datasets.c.id == dataset_id, datasets.c.retired_at.is_(None))
        if connection.execute(known).first() is None:
            remove_objects(places.objects, dataset_id)


def _remove_evaluation_folders(places: Places, retired: set[str]) -> None:
    with reading(places.engine) as connection:
        rows = connection.execute(sa.select(evaluations.c.id, evaluations.c.dataset_id)).tuples().all()
    asked = dict(rows)
    for evaluation_id, keys in folders(places.objects, layout.EVALUATIONS).items():
        dataset_id = asked.get(evaluation_id) or _dataset_of(places.objects, keys)
        if dataset_id is None or dataset_id in retired:
            for key in sorted(keys, reverse=True):  # the page first: the predictions tell the dataset
                places.objects.delete(key)


def _dataset_of(objects: ObjectStore, keys: list[str]) -> str | None:
    """From predictions that no row names: a killed evaluation's, or those of one that is about to be recorded."""
    for key in keys:
        if key.endswith(".parquet"):
            try:
                metadata = pq.read_schema(io.BytesIO(objects.read(key))).metadata or {}
            except (pa.ArrowInvalid, NotFoundError):
                return None
            found: bytes | None = metadata.get(DATASET_METADATA)
            return None if found is None else found.decode()
    return None


def _remove_reports(places: Places, retired: set[str]) -> None:
    """Pages of cycles that quote a retired dataset's test answers."""
    if not retired:
        return
    for page in places.home.rglob("report.html"):
        text = page.read_text(encoding="utf-8", errors="replace")
        if any(dataset_id in text for dataset_id in retired):
            page.unlink(missing_ok=True)
