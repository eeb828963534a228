"""What was used and what it cost. A price that is not known is absent, with a note that says why."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gateway_tuning.storage.database import first_insert_wins
from gateway_tuning.storage.paging import newest_first, owned_row
from gateway_tuning.storage.tables import cost_entries
from gateway_tuning.training.jobs import TuningJob

TRAINING = "training"
_USAGE = ("tokens", "train_seconds", "steps")  # of a job's metrics


@dataclass(frozen=True, slots=True)
class CostEntry:
    """`id` is of what it is for: the job's key. `amount` None is unknown, never free."""

    id: str
    tenant: str
    purpose: str
    object_id: str
    provider: str
    created_at: datetime
    note: str
    amount: Decimal | None = None
    currency: str | None = None
    usage: dict[str, float] = field(default_factory=dict)


def cost_of_job(job: TuningJob, *, now: datetime) -> CostEntry:
    """Of a job that has ended. No price list is known here, so what it used stands for the amount."""
    usage = {name: job.metrics[name] for name in _USAGE if name in job.metrics}
    told = "its usage is" if usage else "and neither is its usage"
    return CostEntry(
        id=job.key,
        tenant=job.tenant,
        purpose=TRAINING,
        object_id=job.key,
        provider=job.spec.provider,
        created_at=now,
        note=f"the price of {job.spec.provider} is not known, {told}",
        usage=usage,
    )


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
                    amount=None if entry.amount is None else str(entry.amount),
                    currency=entry.currency,
                    usage=entry.usage,
                    note=entry.note,
                    created_at=entry.created_at,
                )
            )

    def get(self, entry_id: str, *, tenant: str) -> CostEntry:
        """Raises NotFoundError; an entry of another tenant is not found either."""
        return _entry(owned_row(self._engine, cost_entries, entry_id, tenant=tenant, what="cost"))

    def page(self, tenant: str, *, limit: int, before: tuple[datetime, str] | None = None) -> list[CostEntry]:
        found = newest_first(self._engine, cost_entries, tenant=tenant, limit=limit, before=before)
        return [_entry(row) for row in found]


def _entry(row: "sa.Row[Any]") -> CostEntry:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    fields["amount"] = None if row.amount is None else Decimal(row.amount)
    return CostEntry(**fields)
