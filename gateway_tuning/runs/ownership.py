"""Whether what a request names is the caller's. What is not is not found, as if it were not there."""

import sqlalchemy as sa

from gateway_tuning.datasets.retired import refuse_retired
from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry, require_no_erased
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import datasets, models


class Ownership:
    def __init__(self, engine: sa.Engine, tenant: str) -> None:
        self._engine = engine
        self._tenant = tenant

    def dataset(self, dataset_id: str) -> None:
        """Raises NotFoundError, or ErasedError for one that an erasure retired."""
        mine = sa.select(datasets.c.id).where(datasets.c.id == dataset_id, datasets.c.tenant == self._tenant)
        with reading(self._engine) as connection:
            if connection.execute(mine).first() is None:
                raise NotFoundError(f"No dataset {dataset_id}; list the datasets to see all")
            refuse_retired(connection, dataset_id)

    def version(self, version_id: str) -> ModelVersion:
        """Raises NotFoundError."""
        missing = NotFoundError(f"No model version {version_id}; list the versions of a model to see all")
        try:
            version = Registry(self._engine).get(version_id)
        except NotFoundError:
            raise missing from None
        if version.tenant != self._tenant:
            raise missing
        return version

    def candidate(self, version_id: str) -> ModelVersion:
        """Raises NotFoundError, or ErasedError for a version that learned from an erased person."""
        version = self.version(version_id)
        with reading(self._engine) as connection:
            require_no_erased(connection, version_id)
        return version

    def model(self, name: str) -> None:
        """Raises NotFoundError."""
        if self._owner(name) != self._tenant:
            raise NotFoundError(f"No model {name}; list the models to see all")

    def free_or_mine(self, name: str) -> None:
        """For a name that a run will claim. Raises ConflictError when another tenant has it."""
        if self._owner(name) not in {None, self._tenant}:
            raise ConflictError(f"The model name {name!r} is taken by another tenant; choose another name")

    def _owner(self, name: str) -> str | None:
        with reading(self._engine) as connection:
            owner: str | None = connection.execute(
                sa.select(models.c.tenant).where(models.c.name == name)
            ).scalar_one_or_none()
        return owner
