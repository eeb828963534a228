"""Where costs are kept. Each is counted once."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import cost_entries, cost_reservations, tuning_jobs
from gateway_tuning.training.cost.entry import CostEntry
from gateway_tuning.training.cost.reservations import State
from gateway_tuning.training.job import JobStatus

_SHOWN = (
    sa.select(cost_entries, cost_reservations.c.expected)
    .select_from(
        cost_entries.outerjoin(cost_reservations, cost_entries.c.object_id == cost_reservations.c.job_key)
    )
    .subquery()
)


_ENDED = [status.value for status in JobStatus if status.is_terminal]


class CostStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, entry: CostEntry) -> None:
        """Counted once, however often it is told."""
        with self._engine.begin() as connection, first_insert_wins(connection):
            connection.execute(
                cost_entries.insert().values(
                    id=entry.id,
                    tenant=entry.tenant,
                    purpose=entry.purpose,
                    object_id=entry.object_id,
                    provider=entry.provider,
                    usage=entry.usage,
                    created_at=entry.created_at,
                    **_amount(entry),
                )
            )

    def price(self, entry: CostEntry) -> bool:
        """Give an entry its amount, if it has none yet. Returns whether it was given."""
        unpriced = sa.and_(cost_entries.c.id == entry.id, cost_entries.c.amount.is_(None))
        with self._engine.begin() as connection:
            done = connection.execute(sa.update(cost_entries).where(unpriced).values(**_amount(entry)))
        return done.rowcount > 0

    def unpriced(self, tenant: str) -> list[CostEntry]:
        """Those without an amount, oldest first."""
        query = sa.select(_SHOWN).where(_SHOWN.c.tenant == tenant, _SHOWN.c.amount.is_(None))
        with reading(self._engine) as connection:
            return [_entry(row) for row in connection.execute(query.order_by(_SHOWN.c.created_at))]

    def uncounted(self) -> list[str]:
        """Keys of jobs that have ended and whose cost nobody wrote down: they were ended by hand, or their run died."""
        job, reserved = tuning_jobs.c, cost_reservations.c
        is_paid_for = sa.and_(job.provider_job_id.is_not(None), cost_entries.c.id.is_(None))
        # What is set aside later than that is for its next beginning.
        is_set_aside = sa.and_(reserved.state == State.RESERVED.value, reserved.created_at <= job.updated_at)
        query = (
            sa.select(job.key)
            .select_from(
                tuning_jobs.outerjoin(cost_entries, cost_entries.c.object_id == job.key).outerjoin(
                    cost_reservations, reserved.job_key == job.key
                )
            )
            .where(job.status.in_(_ENDED), sa.or_(is_paid_for, is_set_aside))
        )
        with reading(self._engine) as connection:
            return list(connection.execute(query.order_by(job.created_at)).scalars())

    def get(self, entry_id: str, *, tenant: str) -> CostEntry:
        """Raises NotFoundError; an entry of another tenant is not found either."""
        return _entry(owned_row(self._engine, _SHOWN, entry_id, tenant=tenant, what="cost"))

    def page(self, tenant: str, *, limit: int, before: tuple[datetime, str] | None = None) -> list[CostEntry]:
        found = newest_first(self._engine, _SHOWN, tenant=tenant, limit=limit, before=before)
        return [_entry(row) for row in found]


def _amount(entry: CostEntry) -> dict[str, Any]:
    amount = None if entry.amount is None else str(entry.amount)
    return {"amount": amount, "currency": entry.currency, "note": entry.note}


def _entry(row: "sa.Row[Any]") -> CostEntry:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    for name in ("amount", "expected"):
        fields[name] = None if fields[name] is None else Decimal(fields[name])
    return CostEntry(**fields)
