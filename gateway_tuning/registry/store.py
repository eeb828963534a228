"""Model versions, their aliases and where they answer."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.datasets.retired import require_live
from gateway_tuning.errors import ConflictError, ErasedError, NotFoundError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import ModelVersion, StoredFile
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import alias_history, aliases, endpoints, model_versions
from gateway_tuning.storage.tenants import claim_model


class Registry:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def register(self, version: ModelVersion) -> ModelVersion:
        """Add the version once; a version that is there already is returned as it stands.

        Raises:
            ConflictError: the model's name belongs to another tenant.
            ErasedError: the dataset that it was trained on is retired.
        """
        claim_model(self._engine, version.model, version.tenant, now=version.created_at)
        with self._engine.begin() as connection:
            if _get(connection, version.id) is None:
                require_live(connection, version.tenant, version.dataset_id)
            with first_insert_wins(connection):
                connection.execute(sa.insert(model_versions).values(**asdict(version)))
        return self.get(version.id)

    def get(self, version_id: str) -> ModelVersion:
        with reading(self._engine) as connection:
            row = _get(connection, version_id)
        if row is None:
            raise NotFoundError(f"No model version {version_id}; `gateway-tuning models` lists them")
        return _version(row)

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
            return [_version(row) for row in connection.execute(query)]

    def aliases(self, model: str) -> dict[str, str]:
        """Alias to version id."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(aliases.c.alias, aliases.c.version_id).where(aliases.c.model == model)
            )
            return {row.alias: row.version_id for row in rows}

    def resolve(self, model: str, alias: str) -> ModelVersion:
        version_id = self.aliases(model).get(alias)
        if version_id is None:
            raise NotFoundError(f"{model} has no {alias} version")
        return self.get(version_id)

    def point(self, model: str, alias: str, version_id: str, *, reason: str, now: datetime) -> None:
        """Let the alias name the version, and keep why. Pointing it there again changes nothing."""
        self.get(version_id)
        with self._engine.begin() as connection:
            point_alias(connection, model, alias, version_id, reason=reason, now=now)

    def set_endpoint(self, version_id: str, endpoint: Endpoint, *, now: datetime) -> None:
        values: dict[str, Any] = {
            "base_url": endpoint.base_url,
            "served_model": endpoint.model,
            "extra_body": endpoint.extra_body,
            "api_key_env": endpoint.api_key_env,
            "updated_at": now,
        }
        with self._engine.begin() as connection:
            updated = connection.execute(
                sa.update(endpoints).where(endpoints.c.version_id == version_id).values(**values)
            )
            if updated.rowcount == 0:
                connection.execute(sa.insert(endpoints).values(version_id=version_id, **values))

    def endpoint(self, version_id: str) -> Endpoint:
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(endpoints).where(endpoints.c.version_id == version_id)
            ).one_or_none()
        if row is None:
            raise NotFoundError(f"Nothing serves {version_id}; start a server for it first")
        return Endpoint(row.base_url, row.served_model, row.extra_body, row.api_key_env)


def alias(connection: sa.Connection, model: str, name: str) -> str | None:
    """The version that the alias names, inside the caller's transaction."""
    query = sa.select(aliases.c.version_id).where(aliases.c.model == model, aliases.c.alias == name)
    found: str | None = connection.execute(query.with_for_update()).scalar_one_or_none()
    return found


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


def point_alias(
    connection: sa.Connection,
    model: str,
    name: str,
    version_id: str | None,
    *,
    reason: str,
    now: datetime,
    expected: str | None = None,
) -> None:
    """Move an alias, or remove it with None, inside the caller's transaction.

    Raises:
        ConflictError: `expected` is given and the alias names another version.
    """
    this_alias = (aliases.c.model == model, aliases.c.alias == name)
    current = alias(connection, model, name)
    if expected is not None and current != expected:
        raise ConflictError(
            f"{model} {name} names {current}, not {expected}; nothing was changed, look again"
        )
    if current == version_id:
        return
    if version_id is None:
        connection.execute(sa.delete(aliases).where(*this_alias))
    elif current is None:
        connection.execute(
            sa.insert(aliases).values(model=model, alias=name, version_id=version_id, updated_at=now)
        )
    else:
        connection.execute(
            sa.update(aliases).where(*this_alias).values(version_id=version_id, updated_at=now)
        )
    connection.execute(
        sa.insert(alias_history).values(model=model, alias=name, version_id=version_id, reason=reason, at=now)
    )


def _get(connection: sa.Connection, version_id: str) -> "sa.Row[Any] | None":
    return connection.execute(
        sa.select(model_versions).where(model_versions.c.id == version_id)
    ).one_or_none()


def _version(row: "sa.Row[Any]") -> ModelVersion:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields["files"] = {name: StoredFile(**file) for name, file in fields["files"].items()}
    return ModelVersion(**fields)
