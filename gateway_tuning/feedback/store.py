"""Feedback and quarantine in the metadata store. Records are kept once, whatever the order they come in."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.storage.database import feedback, feedback_batches, quarantine, reading

ROWS_A_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the records given: the three figures add up to their number."""

    added: int = 0
    replaced: int = 0  # a later statement under a known id took the place of the earlier one
    duplicates: int = 0  # known already, or older than what is known

    def __add__(self, other: "Added") -> "Added":
        return Added(
            self.added + other.added, self.replaced + other.replaced, self.duplicates + other.duplicates
        )


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A row or record set aside. `raw` is ASCII-escaped JSON, None when the record stands in the store."""

    tenant: str
    stage: str  # reading, validation, anonymization
    source: str
    position: str
    reasons: tuple[str, ...]
    raw: str | None
    feedback_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same whenever and wherever the same thing is set aside at the same stage."""
        parts = [self.stage, self.feedback_id, self.raw]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Quarantined:
    entry: QuarantineEntry
    created_at: datetime


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


class _Version(NamedTuple):
    """Versions of one record in the order in which they win: event time, then content."""

    event_time: datetime
    content_hash: str


class FeedbackStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, records: Sequence[FeedbackRecord], received_at: datetime) -> Added:
        """Keep each (tenant, id) once, in its latest version. Safe to repeat; each chunk is one transaction.

        A replaced record moves to a new sequence, so that readers beyond a watermark see it.
        """
        total = Added()
        for start in range(0, len(records), ROWS_A_STATEMENT):
            chunk = [_in_utc(record) for record in records[start : start + ROWS_A_STATEMENT]]
            with self._engine.begin() as connection:
                for tenant in sorted({record.tenant for record in chunk}):
                    own = [record for record in chunk if record.tenant == tenant]
                    total += _add_chunk(connection, tenant, own, received_at)
        return total

    def add_quarantine(self, entries: Sequence[QuarantineEntry], created_at: datetime) -> int:
        """How many of the entries are new; known ones stay as they are."""
        new = 0
        for start in range(0, len(entries), ROWS_A_STATEMENT):
            chunk = entries[start : start + ROWS_A_STATEMENT]
            with self._engine.begin() as connection:
                for tenant in sorted({entry.tenant for entry in chunk}):
                    own = [entry for entry in chunk if entry.tenant == tenant]
                    new += _quarantine_chunk(connection, tenant, own, created_at)
        return new

    def add_batch(self, batch: Batch) -> bool:
        """True when this is its first import; a repeated one keeps the row of the first."""
        with self._engine.begin() as connection:
            _lock(connection, batch.tenant)
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
        with reading(self._engine) as connection:
            return [Batch(**row) for row in connection.execute(query).mappings()]

    def watermark(self, tenant: str) -> int:
        """The highest sequence; 0 before the first record. What stands up to it stays, or moves beyond it."""
        query = sa.select(sa.func.max(feedback.c.sequence)).where(feedback.c.tenant == tenant)
        with reading(self._engine) as connection:
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
        with reading(self._engine) as connection:
            for sequence, record in connection.execution_options(yield_per=chunk).execute(query):
                yield sequence, FeedbackRecord.model_validate(record)

    def counts(self, tenant: str) -> StoreCounts:
        with reading(self._engine) as connection:
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
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(quarantine.c.sequence.desc()).limit(limit))
            return [_quarantined(row) for row in rows]


def content_hash(record: FeedbackRecord) -> str:
    """Equal for equal statements, whichever time zone their time is written in."""
    return hashlib.sha256(json.dumps(_content(_in_utc(record)), sort_keys=True).encode()).hexdigest()


def _content(record: FeedbackRecord) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _in_utc(record: FeedbackRecord) -> FeedbackRecord:
    if record.timestamp.tzinfo is None:
        raise ValueError(
            f"Feedback {record.id} has a time without a zone; validate records before they are stored"
        )
    if record.timestamp.tzinfo is UTC:
        return record
    return record.model_copy(update={"timestamp": record.timestamp.astimezone(UTC)})


def _lock(connection: sa.Connection, tenant: str) -> None:
    """One writer a tenant until the transaction ends, so that sequences become visible in their order.

    SQLite has one writer anyway. Without this, PostgreSQL may commit sequence 7 after a reader took 8 as its
    watermark, and two writers of one id may meet.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(tenant, 0))))


def _add_chunk(
    connection: sa.Connection, tenant: str, records: Sequence[FeedbackRecord], received_at: datetime
) -> Added:
    _lock(connection, tenant)
    known = _known_versions(connection, tenant, {record.id for record in records})
    latest = dict(known)
    winners: dict[str, FeedbackRecord] = {}
    fates: Counter[str] = Counter()
    for record in records:
        version = _Version(record.timestamp, content_hash(record))
        previous = latest.get(record.id)
        fate = "added" if previous is None else "replaced" if version > previous else "duplicates"
        fates[fate] += 1
        if fate != "duplicates":
            latest[record.id] = version
            winners[record.id] = record
    overwritten = winners.keys() & known.keys()
    if overwritten:
        connection.execute(
            feedback.delete().where(feedback.c.tenant == tenant, feedback.c.id.in_(overwritten))
        )
    if winners:
        rows = [_row(record, latest[id_].content_hash, received_at) for id_, record in winners.items()]
        connection.execute(feedback.insert(), rows)
    return Added(**fates)


def _known_versions(connection: sa.Connection, tenant: str, ids: set[str]) -> dict[str, _Version]:
    query = sa.select(feedback.c.id, feedback.c.event_time, feedback.c.content_hash).where(
        feedback.c.tenant == tenant, feedback.c.id.in_(ids)
    )
    return {id_: _Version(event_time, digest) for id_, event_time, digest in connection.execute(query)}


def _row(record: FeedbackRecord, digest: str, received_at: datetime) -> dict[str, Any]:
    return {
        "tenant": record.tenant,
        "id": record.id,
        "user_id": record.user_id,
        "type": record.type.value,
        "event_time": record.timestamp,
        "received_at": received_at,
        "content_hash": digest,
        "record": _content(record),
    }


def _quarantine_chunk(
    connection: sa.Connection, tenant: str, entries: Sequence[QuarantineEntry], created_at: datetime
) -> int:
    _lock(connection, tenant)
    by_fingerprint: dict[str, QuarantineEntry] = {}
    for entry in entries:
        by_fingerprint.setdefault(entry.fingerprint, entry)
    query = sa.select(quarantine.c.fingerprint).where(
        quarantine.c.tenant == tenant, quarantine.c.fingerprint.in_(by_fingerprint)
    )
    known = set(connection.execute(query).scalars())
    rows = [
        {
            "tenant": entry.tenant,
            "fingerprint": fingerprint,
            "stage": entry.stage,
            "source": entry.source,
            "position": entry.position,
            "feedback_id": entry.feedback_id,
            "reasons": list(entry.reasons),
            "raw": entry.raw,
            "created_at": created_at,
        }
        for fingerprint, entry in by_fingerprint.items()
        if fingerprint not in known
    ]
    if rows:
        connection.execute(quarantine.insert(), rows)
    return len(rows)


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
