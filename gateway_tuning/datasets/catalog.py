"""Which builds made which datasets: the store decides what exists, object storage holds it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

import sqlalchemy as sa

from gateway_tuning.datasets.building.fates import Fate
from gateway_tuning.datasets.deleted import revive
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.published import read_manifest
from gateway_tuning.datasets.retired import is_retired, refuse_retired, successor
from gateway_tuning.errors import ErasedError, NotFoundError
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.subjects import subject_id
from gateway_tuning.feedback.writing import write_quarantine
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore, sha256_hex
from gateway_tuning.storage.tables import UtcDateTime, dataset_feedback, datasets, erasures
from gateway_tuning.storage.tenants import lock_tenant, subject_key

_ROWS_A_STATEMENT = 500


class DatasetCatalog:
    def __init__(self, engine: sa.Engine, objects: ObjectStore) -> None:
        self._engine = engine
        self._objects = objects

    def find(self, build_key: str) -> str | None:
        """The id of the dataset that an equal build made before, or of what an erasure left of it."""
        with reading(self._engine) as connection:
            made = _of_build(connection, build_key)
            return None if made is None else successor(connection, made.id)

    def erasures(self, tenant: str) -> frozenset[str]:
        """Those that have begun. Ask before the feedback is read, and hand them to `add`."""
        with reading(self._engine) as connection:
            return frozenset(
                connection.execute(sa.select(erasures.c.id).where(erasures.c.tenant == tenant)).scalars()
            )

    def add(
        self,
        build_key: str,
        manifest: Manifest,
        fates: Iterable[Fate],
        *,
        watermark: int,
        erasures_before: frozenset[str],
        now: datetime,
        set_aside: Sequence[QuarantineEntry] = (),
    ) -> str:
        """Catalogue what was published, what became of each record, and what was set aside, all or nothing.

        Args:
            build_key: names the build; its first dataset stays.
            manifest: what was published.
            fates: one a record of the recipe; gone through twice.
            watermark: of the feedback.
            erasures_before: `erasures` as they were before the feedback was read.
            now: the time.
            set_aside: records for the quarantine.

        Returns:
            The id of the dataset that stands for the build.

        Raises:
            ErasedError: somebody in it was erased after the feedback was read. What was published is removed;
                build again.
        """
        tenant = manifest.tenant
        key = subject_key(self._engine, tenant, now=now)
        with self._engine.begin() as connection:
            lock_tenant(connection, tenant)  # an erasure begins before this transaction or after it
            created_at = _after_erasures(connection, tenant, now)
            revive(connection, manifest.dataset_id, created_at=created_at)
            self._refuse_erased(connection, manifest, fates, erasures_before)
            known = _of_build(connection, build_key)
            if known is not None and (left := successor(connection, known.id)) is not None:
                return left
            if known is not None:  # an erasure left nothing of it
                build_key = sha256(f"{build_key}\x1f{manifest.dataset_id}".encode()).hexdigest()
                replaced = datasets.c.id == known.id
                connection.execute(
                    sa.update(datasets).where(replaced).values(replaced_by=manifest.dataset_id)
                )
            add_dataset(
                connection,
                manifest,
                build_key=build_key,
                watermark=watermark,
                created_at=created_at,
            )
            add_lineage(
                connection,
                manifest,
                (
                    {
                        "feedback_id": fate.feedback_id,
                        "subject_id": fate.subject_id,
                        "used": fate.used,
                        "reason": fate.reason,
                    }
                    for fate in fates
                ),
            )
            write_quarantine(
                connection,
                tenant,
                set_aside,
                now,
                lambda user: None if user is None else subject_id(key, user),
            )
        return manifest.dataset_id

    def manifest(self, dataset_id: str) -> Manifest:
        """Raises NotFoundError for a dataset that was never catalogued, ErasedError for one that was taken away."""
        with reading(self._engine) as connection:
            known = connection.execute(sa.select(datasets.c.id).where(datasets.c.id == dataset_id)).first()
            if known is None:
                raise NotFoundError(f"No dataset {dataset_id}; `gateway-tuning datasets` lists them")
            refuse_retired(connection, dataset_id)
        return read_manifest(self._objects, dataset_id)

    def all(self) -> list[tuple[str, datetime]]:
        """Those that stand, oldest first."""
        query = (
            sa.select(datasets.c.id, sa.func.min(datasets.c.created_at, type_=UtcDateTime()).label("at"))
            .where(datasets.c.retired_at.is_(None))
            .group_by(datasets.c.id)
        )
        with reading(self._engine) as connection:
            return [(row.id, row.at) for row in connection.execute(query.order_by("at"))]

    def _refuse_erased(
        self,
        connection: sa.Connection,
        manifest: Manifest,
        fates: Iterable[Fate],
        erasures_before: frozenset[str],
    ) -> None:
        dataset_id = manifest.dataset_id
        if is_retired(connection, dataset_id):
            remove_objects(self._objects, dataset_id)
            refuse_retired(connection, dataset_id)
        rows = connection.execute(
            sa.select(erasures.c.id, erasures.c.subject_id).where(erasures.c.tenant == manifest.tenant)
        )
        erased = {row.subject_id for row in rows if row.id not in erasures_before}
        if erased and _any_of(fates, erased):
            living = sa.select(datasets.c.id).where(datasets.c.id == dataset_id)
            if connection.execute(living).first() is None:  # else the erasure itself will see to it
                remove_objects(self._objects, dataset_id)
            raise ErasedError(
                f"A person was erased while dataset {dataset_id} was built from their feedback; build it again"
            )
        keys = {layout.dataset_manifest(dataset_id), *manifest.checksums()}
        if not all(map(self._objects.exists, keys)):
            raise ErasedError(
                f"An erasure removed objects of dataset {dataset_id} before it was catalogued; build it again"
            )


def _any_of(fates: Iterable[Fate], erased: set[str]) -> bool:
    """Also where it can no longer be told, because an erasure swept what the build had left."""
    try:
        return any(fate.subject_id in erased for fate in fates)
    except NotFoundError:
        return True


def add_dataset(
    connection: sa.Connection, manifest: Manifest, *, build_key: str, watermark: int, created_at: datetime
) -> None:
    connection.execute(
        sa.insert(datasets).values(
            build_key=build_key,
            id=manifest.dataset_id,
            tenant=manifest.tenant,
            watermark=watermark,
            manifest_sha256=sha256_hex(manifest.encode()),
            created_at=created_at,
        )
    )


def add_lineage(connection: sa.Connection, manifest: Manifest, rows: Iterable[dict[str, Any]]) -> None:
    """Another build may have made the same dataset before: its rows stay."""
    known = set(
        connection.execute(
            sa.select(dataset_feedback.c.feedback_id).where(
                dataset_feedback.c.dataset_id == manifest.dataset_id
            )
        ).scalars()
    )
    new = (
        {"dataset_id": manifest.dataset_id, "tenant": manifest.tenant, **row}
        for row in rows
        if row["feedback_id"] not in known
    )
    while chunk := list(islice(new, _ROWS_A_STATEMENT)):
        connection.execute(dataset_feedback.insert(), chunk)


def remove_objects(objects: ObjectStore, dataset_id: str) -> int:
    """The manifest first, so that nobody reads half a dataset; the parts last, for they tell whom it holds."""
    folder = layout.dataset_folder(dataset_id)
    keys = [key for key in objects.list_keys(folder) if key != layout.dataset_manifest(dataset_id)]
    for key in [layout.dataset_manifest(dataset_id), *sorted(keys, key=layout.names_subjects)]:
        objects.delete(key)
    objects.delete_partials(folder)
    return len(keys)


def _of_build(connection: sa.Connection, build_key: str) -> Any:
    return connection.execute(sa.select(datasets.c.id).where(datasets.c.build_key == build_key)).one_or_none()


def _after_erasures(connection: sa.Connection, tenant: str, now: datetime) -> datetime:
    """Clocks differ between machines; by these times an erasure tells which datasets stood when it began."""
    query = sa.select(sa.func.max(erasures.c.erased_at, type_=UtcDateTime())).where(
        erasures.c.tenant == tenant
    )
    latest: datetime | None = connection.execute(query).scalar_one()
    return now if latest is None else max(now, latest + timedelta(microseconds=1))
