"""Rows of model versions inside a caller's transaction."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError, NotFoundError
from gateway_tuning.registry.code_version import CodeVersion
from gateway_tuning.registry.model_version import ModelVersion, StoredFile
from gateway_tuning.registry.statuses import ModelStatus, StatusChange
from gateway_tuning.storage.tables import model_versions, status_history

_RESULTS = ("files", "metrics", "hyperparameters", "served_model", "code", "parents", "dataset_id")


def not_found(version_id: str) -> NotFoundError:
    return NotFoundError(f"No model version {version_id}; `gateway-tuning models` lists them")


def find(connection: sa.Connection, version_id: str, *, for_update: bool = False) -> ModelVersion | None:
    query = sa.select(model_versions).where(model_versions.c.id == version_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    return None if row is None else version_of(row)


def insert(connection: sa.Connection, version: ModelVersion) -> None:
    values = asdict(version) | {"status": version.status.value, "parents": list(version.parents)}
    connection.execute(sa.insert(model_versions).values(**values))
    first = StatusChange(version.id, None, version.status, "registered", None, version.created_at)
    _keep(connection, first)


def complete(connection: sa.Connection, known: ModelVersion, version: ModelVersion) -> None:
    """Give a version that was only begun what its training left."""
    results = asdict(version)
    values = {name: results[name] for name in _RESULTS} | {"parents": list(version.parents)}
    connection.execute(sa.update(model_versions).where(model_versions.c.id == known.id).values(**values))
    set_status(
        connection, known, version.status, reason="its training succeeded", by=None, now=version.created_at
    )


def mark_erased(connection: sa.Connection, version: ModelVersion) -> None:
    """A person was erased whose feedback the version learned from: once told, never taken back."""
    if version.holds_erased_since is None:
        return
    unmarked = (model_versions.c.id == version.id, model_versions.c.holds_erased_since.is_(None))
    connection.execute(
        sa.update(model_versions).where(*unmarked).values(holds_erased_since=version.holds_erased_since)
    )


def set_status(
    connection: sa.Connection,
    version: ModelVersion,
    status: ModelStatus,
    *,
    reason: str,
    by: str | None,
    now: datetime,
) -> None:
    """Raises ConflictError when the row has left the revision of `version`."""
    as_seen = (model_versions.c.id == version.id, model_versions.c.revision == version.revision)
    changed = connection.execute(
        sa.update(model_versions).where(*as_seen).values(status=status.value, revision=version.revision + 1)
    )
    if changed.rowcount != 1:
        raise ConflictError(f"{version.id} was changed meanwhile; nothing was changed, look again")
    _keep(connection, StatusChange(version.id, version.status, status, reason, by, now))


def status_changes(connection: sa.Connection, version_id: str) -> list[StatusChange]:
    kept = status_history.c
    rows = connection.execute(
        sa.select(status_history).where(kept.version_id == version_id).order_by(kept.sequence)
    )
    return [
        StatusChange(
            version_id=row.version_id,
            before=None if row.before is None else ModelStatus(row.before),
            status=ModelStatus(row.status),
            reason=row.reason,
            by=row.actor,
            at=row.at,
        )
        for row in rows
    ]


def version_of(row: "sa.Row[Any]") -> ModelVersion:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields["files"] = {name: StoredFile(**file) for name, file in fields["files"].items()}
    fields["code"] = None if fields["code"] is None else CodeVersion(**fields["code"])
    fields["parents"] = tuple(fields["parents"])
    fields["status"] = ModelStatus(fields["status"])
    return ModelVersion(**fields)


def _keep(connection: sa.Connection, change: StatusChange) -> None:
    connection.execute(
        sa.insert(status_history).values(
            version_id=change.version_id,
            before=None if change.before is None else change.before.value,
            status=change.status.value,
            reason=change.reason,
            actor=change.by,
            at=change.at,
        )
    )
