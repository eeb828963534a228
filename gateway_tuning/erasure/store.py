"""Erasures in the metadata store: the tombstone of a person, and how far the removal has come."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.subjects import feedback_key
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import erased_feedback, erasures, tenants


class ErasureState(StrEnum):
    REQUESTED = "requested"  # rows are gone; what was made of them is not yet
    INCOMPLETE = "incomplete"  # tried, and something could not be done yet
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Erasure:
    """`counts` are the rows removed at once, by table. `erased_at`: what the person said up to here stays away.

    `certificate` is signed off once the state is `completed`; before, it is what has been noted so far.
    """

    id: str
    tenant: str
    subject_id: str
    requested_by: str
    state: ErasureState
    erased_at: datetime
    counts: dict[str, int]
    certificate: dict[str, Any] | None
    completed_at: datetime | None


class ErasureStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def get(self, erasure_id: str, *, tenant: str | None = None) -> Erasure:
        """Raises NotFoundError, also for an erasure of another tenant than the one given."""
        query = sa.select(erasures).where(erasures.c.id == erasure_id)
        if tenant is not None:
            query = query.where(erasures.c.tenant == tenant)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"No erasure {erasure_id}; `gateway-tuning subjects list` shows all")
        return erasure(row)

    def all(
        self,
        tenant: str | None = None,
        *,
        limit: int | None = None,
        before: tuple[datetime, str] | None = None,
    ) -> list[Erasure]:
        """Newest first; `before` is time and id of the last one of the page before."""
        query = sa.select(erasures).order_by(erasures.c.erased_at.desc(), erasures.c.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(erasures.c.tenant == tenant)
        if before is not None:
            at, id_ = before
            same = sa.and_(erasures.c.erased_at == at, erasures.c.id < id_)
            query = query.where(sa.or_(erasures.c.erased_at < at, same))
        with reading(self._engine) as connection:
            return [erasure(row) for row in connection.execute(query)]

    def open(self) -> list[str]:
        """Ids of those that are not completed, oldest first."""
        query = (
            sa.select(erasures.c.id)
            .where(erasures.c.state != ErasureState.COMPLETED.value)
            .order_by(erasures.c.erased_at, erasures.c.id)
        )
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def tenants(self) -> list[str]:
        """Those who ever erased somebody."""
        with reading(self._engine) as connection:
            query = sa.select(erasures.c.tenant).distinct().order_by(erasures.c.tenant)
            return list(connection.execute(query).scalars())

    def names_erased_feedback(self, erasure: Erasure) -> Callable[[str], bool]:
        """Whether a feedback id is one of those that this erasure removed: their keyed names alone are kept."""
        with reading(self._engine) as connection:
            key = connection.execute(
                sa.select(tenants.c.subject_key).where(tenants.c.name == erasure.tenant)
            ).scalar_one()
            query = sa.select(erased_feedback.c.feedback_key).where(
                erased_feedback.c.erasure_id == erasure.id
            )
            names = set(connection.execute(query).scalars())
        return lambda feedback_id: feedback_key(key, feedback_id) in names


def erasure(row: "sa.Row[Any]") -> Erasure:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    return Erasure(**fields | {"state": ErasureState(fields["state"])})


def note_datasets(connection: sa.Connection, erasure_id: str, found: dict[str, str | None]) -> None:
    """Keep which datasets held the person and what replaced them, in the transaction that makes it so."""
    query = sa.select(erasures.c.certificate).where(erasures.c.id == erasure_id).with_for_update()
    noted = connection.execute(query).scalar_one() or {}
    datasets = {**found, **noted.get("datasets", {})}  # a replacement that was noted stays
    connection.execute(
        sa.update(erasures)
        .where(erasures.c.id == erasure_id, erasures.c.state != ErasureState.COMPLETED.value)
        .values(certificate={**noted, "datasets": datasets})
    )
