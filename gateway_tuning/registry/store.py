"""Model versions, their aliases and where they answer, in the metadata store."""

from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.errors import ConflictError, ErasedError, NotFoundError
from gateway_tuning.registry import alias_moves, endpoint_rows, version_rows
from gateway_tuning.registry.aliases import UNCHECKED, AliasChange, AliasName, Unchecked
from gateway_tuning.registry.deployments import Deployments, deployments
from gateway_tuning.registry.endpoint import Endpoint, EndpointChange
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.rules import require_change, require_revision
from gateway_tuning.registry.statuses import UNFINISHED, ModelStatus, StatusChange
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import aliases, canaries, model_versions, models
from gateway_tuning.storage.tenants import claim_model


class Registry:
    """A `protocol.ModelRegistry`, and the one that the loop and the gateway go by."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def register(self, version: ModelVersion) -> ModelVersion:
        """As `protocol.VersionRegistry.register`.

        Raises:
            ConflictError: the model's name belongs to another tenant, or its job gave the model another version.
            ErasedError: the dataset that it was trained on is retired.
        """
        claim_model(self._engine, version.model, version.tenant, now=version.created_at)
        with self._engine.begin() as connection:
            known = version_rows.find(connection, version.id, for_update=True)
            if known is None:
                require_live(connection, version.tenant, version.dataset_id)
                with first_insert_wins(connection):
                    version_rows.insert(connection, version)
            elif known.status in UNFINISHED and version.status is ModelStatus.AVAILABLE:
                require_live(connection, version.tenant, version.dataset_id)
                version_rows.complete(connection, known, version)
            version_rows.mark_erased(connection, version)
            return _registered(connection, version)

    def get(self, version_id: str) -> ModelVersion:
        with reading(self._engine) as connection:
            return _get(connection, version_id)

    def candidate(self, version_id: str) -> ModelVersion:
        """`get` for a new run. Raises ErasedError when it holds data of a person who was erased."""
        with reading(self._engine) as connection:
            require_no_erased(connection, version_id)
        return self.get(version_id)

    def versions(self, model: str | None = None) -> list[ModelVersion]:
        query = sa.select(model_versions).order_by(model_versions.c.created_at, model_versions.c.id)
        if model is not None:
            query = query.where(model_versions.c.model == model)
        with reading(self._engine) as connection:
            return [version_rows.version_of(row) for row in connection.execute(query)]

    def models(self, tenant: str) -> list[str]:
        """Names of the tenant's models, in their order."""
        query = sa.select(models.c.name).where(models.c.tenant == tenant).order_by(models.c.name)
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def change_status(
        self,
        version_id: str,
        status: ModelStatus,
        *,
        reason: str,
        now: datetime,
        by: str | None = None,
        expected_revision: int | None = None,
    ) -> ModelVersion:
        with self._engine.begin() as connection:
            version = _get(connection, version_id, for_update=True)
            require_revision(version, expected_revision)
            if status is not version.status:
                require_change(version, status, alias_moves.names_of(connection, version_id))
                if status is ModelStatus.ARCHIVED:
                    _refuse_on_trial(connection, version_id)
                version_rows.set_status(connection, version, status, reason=reason, by=by, now=now)
        return self.get(version_id)

    def status_changes(self, version_id: str) -> list[StatusChange]:
        with reading(self._engine) as connection:
            return version_rows.status_changes(connection, version_id)

    def aliases(self, model: str) -> dict[str, str]:
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(aliases.c.alias, aliases.c.version_id).where(aliases.c.model == model)
            )
            return {row.alias: row.version_id for row in rows}

    def resolve(self, model: str, alias: str) -> ModelVersion:
        """Raises NotFoundError."""
        version_id = self.aliases(model).get(str(AliasName.parse(alias)))
        if version_id is None:
            raise NotFoundError(f"{model} has no {alias} version")
        return self.get(version_id)

    def point(
        self,
        model: str,
        alias: str,
        version_id: str | None,
        *,
        reason: str,
        now: datetime,
        by: str | None = None,
        expected: str | Unchecked | None = UNCHECKED,
    ) -> None:
        if version_id is not None:
            self.get(version_id)
        with self._engine.begin() as connection:
            alias_moves.point_alias(
                connection, model, alias, version_id, reason=reason, now=now, by=by, expected=expected
            )

    def alias_changes(self, model: str) -> list[AliasChange]:
        with reading(self._engine) as connection:
            return alias_moves.alias_changes(connection, model)

    def set_endpoint(
        self, version_id: str, endpoint: Endpoint, *, now: datetime, by: str | None = None
    ) -> None:
        """The newest one counts; each that differs from the one before is kept in the history."""
        with self._engine.begin() as connection:
            endpoint_rows.put_endpoint(connection, version_id, endpoint, by=by, now=now)

    def endpoint(self, version_id: str) -> Endpoint:
        with reading(self._engine) as connection:
            found = endpoint_rows.find_endpoint(connection, version_id)
        if found is None:
            raise NotFoundError(
                f"Nothing serves {version_id}: say where it answers, by `gateway-tuning models endpoint {version_id} URL`"
            )
        return found

    def endpoint_changes(self, version_id: str) -> list[EndpointChange]:
        """Oldest first."""
        with reading(self._engine) as connection:
            return endpoint_rows.endpoint_changes(connection, version_id)

    def deployments(self, model: str) -> Deployments:
        """Which versions users meet now, where they answer, and how it came to that."""
        return deployments(self._engine, model)


def holds_erased(connection: sa.Connection, version_id: str) -> bool:
    """Whether a person was erased on whose data the version was trained. Nobody marks it until the transaction ends."""
    query = sa.select(model_versions.c.holds_erased_since).where(model_versions.c.id == version_id)
    return connection.execute(query.with_for_update()).scalar_one_or_none() is not None


def require_no_erased(connection: sa.Connection, version_id: str) -> None:
    """Raises ErasedError for a version that may be the candidate of no new evaluation or canary."""
    if holds_erased(connection, version_id):
        raise ErasedError(
            f"{version_id} was trained on data of a person who was erased since; train a new version"
        )


def _get(connection: sa.Connection, version_id: str, *, for_update: bool = False) -> ModelVersion:
    found = version_rows.find(connection, version_id, for_update=for_update)
    if found is None:
        raise version_rows.not_found(version_id)
    return found


def _registered(connection: sa.Connection, version: ModelVersion) -> ModelVersion:
    found = version_rows.find(connection, version.id)
    if found is None:
        raise ConflictError(
            f"Job {version.job_key} gave {version.model} a version already; {version.id} would be its second one"
        )
    return found


def _refuse_on_trial(connection: sa.Connection, version_id: str) -> None:
    query = sa.select(canaries.c.id).where(
        canaries.c.state == "running",
        sa.or_(canaries.c.candidate == version_id, canaries.c.control == version_id),
    )
    canary = connection.execute(query).scalars().first()
    if canary is not None:
        raise ConflictError(
            f"{version_id} is on trial in canary {canary}; let that end before it is archived"
        )
