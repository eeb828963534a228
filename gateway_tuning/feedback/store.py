"""Feedback and quarantine in the metadata store. Records are kept once, whatever the order they come in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.quarantine import Quarantined, QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.subjects import subject_id
from gateway_tuning.feedback.versions import statement
from gateway_tuning.feedback.writing import Arrival, SubjectOf, write_feedback, write_quarantine
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import feedback, feedback_batches, quarantine
from gateway_tuning.storage.tenants import lock_tenant, subject_key

ROWS_A_STATEMENT = 500
_REMEMBERED_USERS = 20_000


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the records given: the figures add up to their number."""

    added: int = 0
    replaced: int = 0
    duplicates: int = 0
    erased: int = 0

    def __add__(self, other: "Added") -> "Added":
        return Added(
            self.added + other.added,
            self.replaced + other.replaced,
            self.duplicates + other.duplicates,
            self.erased + other.erased,
        )


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """Feedback by type, quarantine by stage."""

    feedback: dict[str, int]
    quarantine: dict[str, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """One import: its figures and what the expectations said of it, None when they were not asked."""

    id: str
    tenant: str
    source: str
    counts: dict[str, Any]
    expectations: dict[str, Any] | None
    created_at: datetime


class FeedbackStore:
    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._subjects: dict[str, SubjectOf] = {}

    def subject_of(self, tenant: str, *, now: datetime) -> SubjectOf:
        """User to subject id, under the tenant's key."""
        if tenant not in self._subjects:
            key = subject_key(self.engine, tenant, now=now)
            self._subjects[tenant] = lru_cache(_REMEMBERED_USERS)(partial(_subject, key))
        return self._subjects[tenant]

    def add(self, records: Sequence[FeedbackRecord], received_at: datetime) -> Added:
        """Keep each (tenant, id) once, in its latest version. Safe to repeat; each chunk is one transaction.

        A replaced record moves to a new sequence, so that readers beyond a watermark see it.
        """
        total = Added()
        for start in range(0, len(records), ROWS_A_STATEMENT):
            chunk = [statement(record) for record in records[start : start + ROWS_A_STATEMENT]]
            tenants = sorted({given.record.tenant for given in chunk})
            subjects = {tenant: self.subject_of(tenant, now=received_at) for tenant in tenants}
            with self.engine.begin() as connection:
                for tenant in tenants:
                    lock_tenant(connection, tenant)
                    own = [given for given in chunk if given.record.tenant == tenant]
                    arrivals = write_feedback(connection, tenant, own, received_at, subjects[tenant])
                    total += _added(arrivals)
        return total

    def add_quarantine(self, entries: Sequence[QuarantineEntry], created_at: datetime) -> int:
        """How many of the entries are new; known ones stay as they are."""
        new = 0
        for start in range(0, len(entries), ROWS_A_STATEMENT):
            chunk = entries[start : start + ROWS_A_STATEMENT]
            tenants = sorted({entry.tenant for entry in chunk})
            subjects = {tenant: self.subject_of(tenant, now=created_at) for tenant in tenants}
            with self.engine.begin() as connection:
                for tenant in tenants:
                    lock_tenant(connection, tenant)
                    own = [entry for entry in chunk if entry.tenant == tenant]
                    new += write_quarantine(connection, tenant, own, created_at, subjects[tenant])
        return new

    def add_batch(self, batch: Batch) -> bool:
        """True when this is its first import; a repeated one keeps the row of the first."""
        with self.engine.begin() as connection:
            lock_tenant(connection, batch.tenant)
            known = sa.select(feedback_batches.c.id).where(feedback_batches.c.id == batch.id)
            if connection.execute(known).first() is not None:
                return False
            connection.execute(
                feedback_batches.insert(),
                {
                    "id": batch.id,
                    "tenant": batch.tenant,
                    "source": batch.source,
                    "counts": batch.counts,
                    "expectations": batch.expectations,
                    "created_at": batch.created_at,
                },
            )
        return True

    def batches(self, tenant: str, *, limit: int = 20) -> list[Batch]:
        """Newest first."""
        query = (
            sa.select(feedback_batches)
            .where(feedback_batches.c.tenant == tenant)
            .order_by(feedback_batches.c.created_at.desc(), feedback_batches.c.id)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return [Batch(**row) for row in connection.execute(query).mappings()]

    def watermark(self, tenant: str) -> int:
        """The highest sequence; 0 before the first record. What stands up to it stays, or moves beyond it."""
        query = sa.select(sa.func.max(feedback.c.sequence)).where(feedback.c.tenant == tenant)
        with reading(self.engine) as connection:
            return connection.execute(query).scalar() or 0

    def read(
        self, tenant: str, up_to_sequence: int | None = None, *, after_sequence: int = 0, chunk: int = 500
    ) -> Iterator[tuple[int, FeedbackRecord]]:
        """(sequence, record) by sequence, from one snapshot; `chunk` rows are held at a time."""
        query = (
            sa.select(feedback.c.sequence, feedback.c.record)
            .where(feedback.c.tenant == tenant, feedback.c.sequence > after_sequence)
            .order_by(feedback.c.sequence)
        )
        if up_to_sequence is not None:
            query = query.where(feedback.c.sequence <= up_to_sequence)
        with reading(self.engine) as connection:
            for sequence, record in connection.execution_options(yield_per=chunk).execute(query):
                yield sequence, FeedbackRecord.model_validate(record)

    def counts(self, tenant: str) -> StoreCounts:
        with reading(self.engine) as connection:
            return StoreCounts(
                feedback=_count_by(connection, feedback.c.type, feedback.c.tenant == tenant),
                quarantine=_count_by(connection, quarantine.c.stage, quarantine.c.tenant == tenant),
            )

    def list_quarantine(
        self, tenant: str, *, limit: int = 100, stage: str | None = None
    ) -> list[Quarantined]:
        """Newest first."""
        query = sa.select(quarantine).where(quarantine.c.tenant == tenant)
        if stage is not None:
            query = query.where(quarantine.c.stage == stage)
        with reading(self.engine) as connection:
            rows = connection.execute(query.order_by(quarantine.c.sequence.desc()).limit(limit))
            return [_quarantined(row) for row in rows]

    def set_aside(self, tenant: str, fingerprint: str) -> Quarantined:
        """By the fingerprint or its beginning. Raises NotFoundError where it names no entry, or several."""
        mine = quarantine.c
        named = sa.or_(
            mine.fingerprint == fingerprint, mine.fingerprint.startswith(fingerprint, autoescape=True)
        )
        query = sa.select(quarantine).where(mine.tenant == tenant, named).order_by(mine.fingerprint).limit(2)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        if len(rows) != 1 or not fingerprint:
            many = "More than one entry begins with" if rows else "Nothing was set aside as"
            raise NotFoundError(f"{many} {fingerprint}; `gateway-tuning feedback quarantine list` shows all")
        return _quarantined(rows[0])

    def find(self, tenant: str, feedback_id: str) -> FeedbackRecord | None:
        """The record as it stands; None where there is none."""
        query = sa.select(feedback.c.record).where(feedback.c.tenant == tenant, feedback.c.id == feedback_id)
        with reading(self.engine) as connection:
            record = connection.execute(query).scalar_one_or_none()
        return None if record is None else FeedbackRecord.model_validate(record)


def _subject(key: str, user: str | None) -> str | None:
    return None if user is None else subject_id(key, user)


def _added(arrivals: Sequence[Arrival]) -> Added:
    return Added(
        added=arrivals.count(Arrival.ADDED),
        replaced=arrivals.count(Arrival.REPLACED),
        duplicates=arrivals.count(Arrival.DUPLICATE),
        erased=arrivals.count(Arrival.ERASED),
    )


def _count_by(
    connection: sa.Connection, column: sa.Column[Any], condition: sa.ColumnElement[bool]
) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(condition).group_by(column).order_by(column)
    return {str(value): count for value, count in connection.execute(query)}


def _quarantined(row: sa.Row[Any]) -> Quarantined:
    entry = QuarantineEntry(
        tenant=row.tenant,
        stage=row.stage,
        source=row.source,
        position=row.position,
        reasons=tuple(row.reasons),
        raw=row.raw,
        feedback_id=row.feedback_id,
    )
    return Quarantined(entry, row.created_at)
