"""Rows of a tenant in pages, newest first: what the API lists."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.database import reading


def newest_first(
    engine: sa.Engine,
    table: sa.FromClause,
    *,
    tenant: str,
    limit: int,
    before: tuple[datetime, str] | None = None,
    at: str = "created_at",
    key: str = "id",
    where: Sequence[sa.ColumnElement[bool]] = (),
) -> list[sa.Row[Any]]:
    """`before` is time and key of the last row of the page before."""
    time, id_ = table.c[at], table.c[key]
    query = (
        sa.select(table)
        .where(table.c.tenant == tenant, *where)
        .order_by(time.desc(), id_.desc())
        .limit(limit)
    )
    if before is not None:
        earlier, last = before
        query = query.where(sa.or_(time < earlier, sa.and_(time == earlier, id_ < last)))
    with reading(engine) as connection:
        return list(connection.execute(query))


def owned_row(
    engine: sa.Engine, table: sa.FromClause, id_: str, *, tenant: str, what: str, key: str = "id"
) -> sa.Row[Any]:
    """Raises NotFoundError saying `what` was asked for; what another tenant owns is not found either."""
    query = sa.select(table).where(table.c[key] == id_, table.c.tenant == tenant).limit(1)
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"No {what} {id_}; the list of this resource shows all")
    return row
