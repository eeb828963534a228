"""Aliases inside a caller's transaction: where one points, its move, and what the move does to statuses."""

from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError
from gateway_tuning.registry.aliases import (
    UNCHECKED,
    AliasChange,
    AliasName,
    Unchecked,
    require_expected,
)
from gateway_tuning.registry.rules import require_namable
from gateway_tuning.registry.statuses import ModelStatus
from gateway_tuning.registry.version_rows import find, set_status
from gateway_tuning.storage.tables import alias_history, aliases


def alias(connection: sa.Connection, model: str, name: str) -> str | None:
    """The version that the alias names, inside the caller's transaction."""
    query = sa.select(aliases.c.version_id).where(aliases.c.model == model, aliases.c.alias == name)
    found: str | None = connection.execute(query.with_for_update()).scalar_one_or_none()
    return found


def point_alias(
    connection: sa.Connection,
    model: str,
    name: str,
    version_id: str | None,
    *,
    reason: str,
    now: datetime,
    by: str | None = None,
    expected: str | Unchecked | None = UNCHECKED,
) -> None:
    """Move an alias, or remove it with None, and the statuses of versions with it.

    Raises:
        ConflictError: the alias names another version than `expected`, or this one cannot be served.
    """
    parsed = AliasName.parse(name)
    this = str(parsed)
    current = alias(connection, model, this)
    require_expected(model, this, current, expected)
    if current == version_id:
        return
    _refuse_unfit(connection, model, this, version_id)
    row = (aliases.c.model == model, aliases.c.alias == this)
    if version_id is None:
        connection.execute(sa.delete(aliases).where(*row))
    elif current is None:
        _add(connection, model, this, version_id, now)
    else:
        connection.execute(sa.update(aliases).where(*row).values(version_id=version_id, updated_at=now))
    connection.execute(
        sa.insert(alias_history).values(
            model=model, alias=this, version_id=version_id, reason=reason, actor=by, at=now
        )
    )
    if parsed.deploys:
        # In one order, so that two moves wait for each other instead of refusing each other.
        for moved in sorted(id_ for id_ in (current, version_id) if id_ is not None):
            _settle(connection, moved, f"{this}: {reason}", by, now)


def alias_changes(connection: sa.Connection, model: str) -> list[AliasChange]:
    kept = alias_history.c
    rows = connection.execute(sa.select(alias_history).where(kept.model == model).order_by(kept.sequence))
    return [
        AliasChange(
            model=row.model,
            alias=row.alias,
            version_id=row.version_id,
            reason=row.reason,
            by=row.actor,
            at=row.at,
        )
        for row in rows
    ]


def names_of(connection: sa.Connection, version_id: str) -> list[str]:
    """The aliases that name a version."""
    query = sa.select(aliases.c.alias).where(aliases.c.version_id == version_id)
    return sorted(connection.execute(query).scalars())


def _refuse_unfit(connection: sa.Connection, model: str, name: str, version_id: str | None) -> None:
    version = None if version_id is None else find(connection, version_id, for_update=True)
    if version is not None:
        require_namable(version, model, name)


def _add(connection: sa.Connection, model: str, name: str, version_id: str, now: datetime) -> None:
    new = sa.insert(aliases).values(model=model, alias=name, version_id=version_id, updated_at=now)
    try:
        with connection.begin_nested():
            connection.execute(new)
    except sa.exc.IntegrityError as error:
        raise ConflictError(
            f"Somebody else gave {model} its {name} at the same time; nothing was changed, look again"
        ) from error


def _settle(connection: sa.Connection, version_id: str, reason: str, by: str | None, now: datetime) -> None:
    """A version is deployed while a `stable` of any environment names it."""
    version = find(connection, version_id, for_update=True)
    if version is None:
        return
    deployed = any(AliasName.parse(name).deploys for name in names_of(connection, version_id))
    status = ModelStatus.DEPLOYED if deployed else ModelStatus.AVAILABLE
    if status is not version.status:
        set_status(connection, version, status, reason=reason, by=by, now=now)
