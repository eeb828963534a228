"""Which records are to be enriched, and what came of it. A failure is kept with its attempts and tried again."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway_tuning.feedback.enrichment import Enrichment
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import enrichments, feedback, tenants
from gateway_tuning.storage.tenants import lock_tenant

MAX_ATTEMPTS = 5
FIRST_RETRY = timedelta(minutes=1)  # doubled with every attempt


@dataclass(frozen=True, slots=True)
class PendingEnrichment:
    tenant: str
    feedback_id: str
    sequence: int
    record: FeedbackRecord


@dataclass(frozen=True, slots=True)
class Enriched:
    """`status` is done or failed; what could be found out stands in the result of a failed one too."""

    status: str
    attempts: int
    result: Enrichment
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EnrichmentCounts:
    done: int
    failed: int
    given_up: int  # of the failed: they are not tried again
    waiting: int


class EnrichmentStore:
    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def pending(self, limit: int, now: datetime) -> list[PendingEnrichment]:
        """New versions by their sequence, after failures whose time has come; those take half of it at most.

        What is new is told by the highest enriched sequence of each tenant: sequences of one tenant become visible
        in order, and have to be recorded in it.
        """
        with reading(self.engine) as connection:
            again = connection.execute(_due(now).limit(max(1, limit // 2))).all()
            new: list[Any] = []
            for tenant in connection.execute(sa.select(tenants.c.name)).scalars().all():
                new += connection.execute(_new(tenant).limit(limit)).all()
        new.sort(key=lambda row: row.sequence)
        return [
            PendingEnrichment(row.tenant, row.id, row.sequence, FeedbackRecord.model_validate(row.record))
            for row in [*again, *new][:limit]
        ]

    def record(self, item: PendingEnrichment, result: Enrichment, now: datetime) -> bool:
        """False when the record was erased or replaced meanwhile; then nothing is kept of it."""
        key = (enrichments.c.tenant == item.tenant, enrichments.c.feedback_id == item.feedback_id)
        current = sa.select(feedback.c.sequence).where(
            feedback.c.tenant == item.tenant, feedback.c.id == item.feedback_id
        )
        with self.engine.begin() as connection:
            lock_tenant(connection, item.tenant)
            if connection.execute(current).scalar_one_or_none() != item.sequence:
                return False
            known = connection.execute(sa.select(enrichments).where(*key)).one_or_none()
            tried = known.attempts if known is not None and known.sequence == item.sequence else 0
            values = {
                "sequence": item.sequence,
                "status": "failed" if result.errors else "done",
                "attempts": tried + 1,
                "result": asdict(result),
                "updated_at": now,
            }
            if known is None:
                own = {"tenant": item.tenant, "feedback_id": item.feedback_id}
                connection.execute(enrichments.insert().values(**own, **values))
            else:
                connection.execute(enrichments.update().where(*key).values(**values))
        return True

    def get(self, tenant: str, feedback_id: str) -> Enriched | None:
        query = sa.select(enrichments).where(
            enrichments.c.tenant == tenant, enrichments.c.feedback_id == feedback_id
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return (
            None if row is None else Enriched(row.status, row.attempts, _result(row.result), row.updated_at)
        )

    def counts(self, tenant: str) -> EnrichmentCounts:
        mine = enrichments.c
        given_up = (mine.status == "failed") & (mine.attempts >= MAX_ATTEMPTS)
        query = sa.select(
            sa.func.count().filter(mine.status == "done").label("done"),
            sa.func.count().filter(mine.status == "failed").label("failed"),
            sa.func.count().filter(given_up).label("given_up"),
        ).where(mine.tenant == tenant)
        with reading(self.engine) as connection:
            told = connection.execute(query).one()
            waiting = connection.execute(
                sa.select(sa.func.count()).select_from(_new(tenant).subquery())
            ).scalar_one()
        return EnrichmentCounts(told.done, told.failed, told.given_up, waiting)


def _new(tenant: str) -> sa.Select[Any]:
    highest = sa.select(sa.func.max(enrichments.c.sequence)).where(enrichments.c.tenant == tenant)
    return (
        sa.select(feedback.c.tenant, feedback.c.id, feedback.c.sequence, feedback.c.record)
        .where(
            feedback.c.tenant == tenant,
            feedback.c.sequence > sa.func.coalesce(highest.scalar_subquery(), 0),
        )
        .order_by(feedback.c.sequence)
    )


def _due(now: datetime) -> sa.Select[Any]:
    """Failures of the version that stands in the store, longest waiting first."""
    mine = enrichments.c
    ripe = [
        sa.and_(mine.attempts == attempts, mine.updated_at <= now - FIRST_RETRY * 2 ** (attempts - 1))
        for attempts in range(1, MAX_ATTEMPTS)
    ]
    same = (feedback.c.tenant == mine.tenant) & (feedback.c.id == mine.feedback_id)
    return (
        sa.select(feedback.c.tenant, feedback.c.id, feedback.c.sequence, feedback.c.record)
        .join(enrichments, same & (feedback.c.sequence == mine.sequence))
        .where(mine.status == "failed", sa.or_(*ripe))
        .order_by(mine.updated_at, feedback.c.sequence)
    )


def _result(value: dict[str, Any]) -> Enrichment:
    preferences = value["preferences"]
    kept = None if preferences is None else tuple(preferences)
    return Enrichment(**{**value, "preferences": kept, "errors": tuple(value["errors"])})
