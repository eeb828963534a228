"""Who did what: a chain of entries in which each holds the hash of the one before.

A changed, removed or inserted entry breaks the chain. A tail that was cut off leaves a chain that is whole, only
shorter: note the head elsewhere from time to time and verify against it. Whoever may write to the store could
compute a whole chain anew; a head noted elsewhere shows that too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import audit_entries as entries

GENESIS = "0" * 64
_CHAIN_LOCK = 0x67745F6175646974  # PostgreSQL's advisory lock of whoever appends
_ROWS_AT_A_TIME = 1000


class Outcome(StrEnum):
    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """`action` is noun.verb. `detail` holds names and figures as JSON, never a text or an id of a user."""

    tenant: str
    actor: str
    action: str
    object_id: str
    outcome: Outcome = Outcome.DONE
    request_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    sequence: int
    at: datetime
    event: AuditEvent
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """`broken_at` is the sequence of the first entry that does not fit; None with `reason` means a cut tail."""

    entries: int
    head: str
    broken_at: int | None = None
    reason: str | None = None

    @property
    def intact(self) -> bool:
        return self.reason is None


def entry_hash(event: AuditEvent, at: datetime, previous_hash: str) -> str:
    """SHA-256 of the entry as JSON: keys sorted, no spaces, ASCII, the time in UTC to the microsecond."""
    content = {
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "tenant": event.tenant,
        "actor": event.actor,
        "action": event.action,
        "object_id": event.object_id,
        "outcome": str(event.outcome),
        "request_id": event.request_id,
        "detail": dict(event.detail),
        "previous_hash": previous_hash,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


class AuditLog:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def append(self, event: AuditEvent, *, now: datetime) -> str:
        """Returns the entry's hash, the new head of the chain."""
        with self._engine.begin() as connection:
            return self.append_in(connection, event, now=now)

    def append_in(self, connection: sa.Connection, event: AuditEvent, *, now: datetime) -> str:
        """Inside the caller's writing transaction, which the entry shares the fate of.

        Make it the transaction's last statement: until the commit everybody else who appends waits.
        """
        if connection.dialect.name == "postgresql":  # SQLite's transactions write one after another anyway
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CHAIN_LOCK)))
        newest = sa.select(entries.c.hash).order_by(entries.c.sequence.desc()).limit(1)
        previous = connection.execute(newest).scalar_one_or_none() or GENESIS
        digest = entry_hash(event, now, previous)
        connection.execute(
            entries.insert().values(
                at=now,
                tenant=event.tenant,
                actor=event.actor,
                action=event.action,
                object_id=event.object_id,
                outcome=str(event.outcome),
                request_id=event.request_id,
                detail=dict(event.detail),
                previous_hash=previous,
                hash=digest,
            )
        )
        return digest

    def page(
        self, tenant: str, *, limit: int, before: tuple[datetime, int] | None = None
    ) -> list[AuditEntry]:
        """A tenant's entries, newest first; `before` is time and sequence of the last one of the page before."""
        query = (
            sa.select(entries)
            .where(entries.c.tenant == tenant)
            .order_by(entries.c.at.desc(), entries.c.sequence.desc())
            .limit(limit)
        )
        if before is not None:
            at, sequence = before
            earlier = sa.and_(entries.c.at == at, entries.c.sequence < sequence)
            query = query.where(sa.or_(entries.c.at < at, earlier))
        with reading(self._engine) as connection:
            return [_entry(row) for row in connection.execute(query)]

    def verify(self, *, expect_head: str | None = None) -> AuditVerification:
        """Follow the chain from its start. `expect_head` is a head noted earlier: it must still stand in it."""
        head, count, seen = GENESIS, 0, expect_head in {None, GENESIS}
        query = sa.select(entries).order_by(entries.c.sequence)
        with reading(self._engine) as connection:
            streamed = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query)
            for row in streamed:
                entry = _entry(row)
                reason = _misfit(entry, head)
                if reason is not None:
                    return AuditVerification(count, head, entry.sequence, reason)
                head, count = entry.hash, count + 1
                seen = seen or head == expect_head
        if not seen:
            return AuditVerification(
                count, head, None, "the expected head is not in the chain: its tail is cut"
            )
        return AuditVerification(count, head)


def _misfit(entry: AuditEntry, head: str) -> str | None:
    if entry.previous_hash != head:
        return "it does not follow the entry before: one was removed or inserted here"
    if entry.hash != entry_hash(entry.event, entry.at, entry.previous_hash):
        return "its content does not match its hash: it was changed"
    return None


def _entry(row: Any) -> AuditEntry:
    # An outcome that nobody writes must show as a change of the entry, not end the verification.
    outcome = row.outcome if row.outcome not in set(Outcome) else Outcome(row.outcome)
    event = AuditEvent(
        tenant=row.tenant,
        actor=row.actor,
        action=row.action,
        object_id=row.object_id,
        outcome=outcome,
        request_id=row.request_id,
        detail=row.detail,
    )
    return AuditEntry(
        sequence=row.sequence, at=row.at, event=event, previous_hash=row.previous_hash, hash=row.hash
    )
