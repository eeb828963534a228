"""Where the commands on one dataset find it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway_tuning.cli.completing import ids
from gateway_tuning.cli.console import open_store, read_settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway_tuning.datasets.manifest import Manifest
    from gateway_tuning.storage.object_store import ObjectStore

DatasetId = Annotated[str, typer.Argument(autocompletion=ids("dataset_id"), help="As `datasets` lists it")]


@dataclass(frozen=True, slots=True)
class Stores:
    engine: "sa.Engine"
    objects: "ObjectStore"
    cache_dir: Path

    def manifest(self, dataset_id: str) -> "Manifest":
        """Raises NotFoundError of one that was deleted, as of one that never was."""
        from gateway_tuning.datasets.catalog import DatasetCatalog
        from gateway_tuning.datasets.deleted import refuse_deleted
        from gateway_tuning.storage.database import reading

        with reading(self.engine) as connection:
            refuse_deleted(connection, dataset_id)
        return DatasetCatalog(self.engine, self.objects).manifest(dataset_id)


def open_stores() -> Stores:
    from gateway_tuning.storage.object_store import ObjectStore

    settings = read_settings()
    objects = ObjectStore.from_settings(settings)
    return Stores(open_store(settings), objects, settings.cache_dir)
