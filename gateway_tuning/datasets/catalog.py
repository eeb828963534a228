"""Which builds made which datasets: the store decides what exists, object storage holds it."""

from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.datasets.build import read_manifest
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.database import datasets, first_insert_wins, reading
from gateway_tuning.storage.object_store import ObjectStore, sha256_hex


class DatasetCatalog:
    def __init__(self, engine: sa.Engine, objects: ObjectStore) -> None:
        self._engine = engine
        self._objects = objects

    def find(self, build_key: str) -> str | None:
        """The id of the dataset that an equal build made before."""
        with reading(self._engine) as connection:
            return connection.execute(
                sa.select(datasets.c.id).where(datasets.c.build_key == build_key)
            ).scalar_one_or_none()

    def add(self, build_key: str, manifest: Manifest, *, watermark: int, now: datetime) -> None:
        with self._engine.begin() as connection, first_insert_wins(connection):
            connection.execute(
                sa.insert(datasets).values(
                    build_key=build_key,
                    id=manifest.dataset_id,
                    tenant=manifest.tenant,
                    watermark=watermark,
                    manifest_sha256=sha256_hex(manifest.encode()),
                    created_at=now,
                )
            )

    def manifest(self, dataset_id: str) -> Manifest:
        """Raises NotFoundError for a dataset that was never catalogued, whatever lies on object storage."""
        with reading(self._engine) as connection:
            known = connection.execute(sa.select(datasets.c.id).where(datasets.c.id == dataset_id)).first()
        if known is None:
            raise NotFoundError(f"No dataset {dataset_id}; `gateway-tuning datasets` lists them")
        return read_manifest(self._objects, dataset_id)

    def all(self) -> list[tuple[str, datetime]]:
        query = sa.select(datasets.c.id, sa.func.min(datasets.c.created_at).label("at")).group_by(
            datasets.c.id
        )
        with reading(self._engine) as connection:
            return [(row.id, row.at) for row in connection.execute(query.order_by("at"))]
