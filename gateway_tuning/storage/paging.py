"""Rows of a tenant in pages, newest first: what the API lists."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

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
