"""A person's word on what was set aside: use it all the same, or never.

A decision is about one version of a record, and moves it beyond every watermark, as a later statement would. So a
dataset stays what its watermark made it, the next one sees the decision, and what is said later under the same id is
judged anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    ErasedError,
    NotFoundError,
    UnacceptableError,
)
from gateway_tuning.feedback.acceptance import Reviewable, refuse_unacceptable, statement_of
from gateway_tuning.feedback.subjects import subject_id
from gateway_tuning.feedback.writing import Arrival, move_beyond, write_feedback
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import feedback, quarantine, quarantine_reviews
from gateway_tuning.storage.tenants import lock_tenant, subject_key

REJECTED_IN_REVIEW = "rejected_in_review"
MAX_REASON = 1000  # characters
_AT_A_TIME = 500


class Decision(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Review:
    """`stands` is False once something else was said under the record's id: what stands now was not looked at."""

    fingerprint: str
    feedback_id: str | None
    decision: Decision
    reason: str
    actor: str
    at: datetime
    stands: bool


class Reviews:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def accept(
        self,
        tenant: str,
        fingerprint: str,
        *,
        actor: str,
        reason: str,
        now: datetime,
        request_id: str | None = None,
    ) -> Review:
        """The next dataset may use the record. Accepting it again changes nothing.

        Raises:
            NotFoundError: nothing of the tenant was set aside under this fingerprint.
            UnacceptableError: it cannot be read, could not be anonymized, or is no usable record; the message says
                why and what would help.
            ConflictError: a later statement under its id is stored.
            ErasedError: it is of a person who was erased.
            ConfigurationError: the reason is blank or too long.
        """
        return self._decide(tenant, fingerprint, Decision.ACCEPTED, actor, reason, now, request_id)

    def reject(
        self,
        tenant: str,
        fingerprint: str,
        *,
        actor: str,
        reason: str,
        now: datetime,
        request_id: str | None = None,
    ) -> Review:
        """No dataset uses the record from now on, also where no rule is against it. Safe to repeat.

        Raises:
            NotFoundError: nothing of the tenant was set aside under this fingerprint.
            ConfigurationError: the reason is blank or too long.
        """
        return self._decide(tenant, fingerprint, Decision.REJECTED, actor, reason, now, request_id)

    def latest(self, tenant: str, fingerprints: Sequence[str]) -> dict[str, Review]:
        """The newest decision on each of them that was decided on."""
        found: dict[str, Review] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(fingerprints), _AT_A_TIME):
                found |= latest(connection, tenant, fingerprints[start : start + _AT_A_TIME])
        return found

    def history(self, tenant: str, fingerprint: str) -> list[Review]:
        """Every decision, newest first; `stands` is told of the newest alone."""
        query = _decisions(tenant, [fingerprint]).order_by(quarantine_reviews.c.sequence.desc())
        with reading(self._engine) as connection:
            return [_review(row, newest=place == 0) for place, row in enumerate(connection.execute(query))]

    def _decide(  # noqa: PLR0917 - what a decision is
        self,
        tenant: str,
        fingerprint: str,
        decision: Decision,
        actor: str,
        reason: str,
        now: datetime,
        request_id: str | None,
    ) -> Review:
        reason = _sound(reason, fingerprint)
        key = subject_key(self._engine, tenant, now=now)
        with self._engine.begin() as connection:
            lock_tenant(connection, tenant)
            entry = _entry(connection, tenant, fingerprint)
            before = latest(connection, tenant, [fingerprint]).get(fingerprint)
            if before is not None and before.decision is decision and before.stands:
                return before
            id_, sequence = (
                _put_to_use(connection, entry, key, now)
                if decision is Decision.ACCEPTED
                else _withdraw(connection, entry, before)
            )
            review = Review(fingerprint, id_, decision, reason, actor, now, stands=True)
            connection.execute(
                quarantine_reviews.insert().values(
                    tenant=tenant,
                    fingerprint=fingerprint,
                    feedback_id=id_,
                    feedback_sequence=sequence,
                    decision=decision.value,
                    reason=reason,
                    actor=actor,
                    at=now,
                )
            )
            action = f"quarantine.{'accept' if decision is Decision.ACCEPTED else 'reject'}"
            detail = {"stage": entry.stage, "before": None if before is None else before.decision.value}
            event = AuditEvent(tenant, actor, action, fingerprint, request_id=request_id, detail=detail)
            AuditLog(self._engine).append_in(connection, event, now=now)
        return review


def decisions(engine: sa.Engine, tenant: str, watermark: int) -> dict[str, Decision]:
    """What stands of the decisions on records up to the watermark, by the record's id.

    The same whenever it is asked: a later decision moves its record beyond the watermark.
    """
    mine = quarantine_reviews.c
    of_version = sa.and_(
        feedback.c.tenant == mine.tenant,
        feedback.c.id == mine.feedback_id,
        feedback.c.sequence == mine.feedback_sequence,
    )
    query = (
        sa.select(mine.feedback_id, mine.decision)
        .join(feedback, of_version)
        .where(mine.tenant == tenant, mine.feedback_sequence <= watermark)
        .order_by(mine.sequence)
    )
    with reading(engine) as connection:
        return {id_: Decision(decision) for id_, decision in connection.execute(query)}


def _sound(reason: str, fingerprint: str) -> str:
    reason = reason.strip()
    if not reason:
        raise ConfigurationError(f"The decision on {fingerprint} needs a reason; say why in a sentence")
    if len(reason) > MAX_REASON:
        raise ConfigurationError(
            f"The reason for the decision on {fingerprint} has {len(reason):,} characters; "
            f"{MAX_REASON:,} are the limit"
        )
    return reason


def _entry(connection: sa.Connection, tenant: str, fingerprint: str) -> Reviewable:
    mine = quarantine.c
    columns = (mine.tenant, mine.fingerprint, mine.stage, mine.reasons, mine.raw, mine.feedback_id)
    query = sa.select(*columns).where(mine.tenant == tenant, mine.fingerprint == fingerprint)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(
            f"Nothing was set aside as {fingerprint}; `gateway-tuning feedback quarantine list` shows all"
        )
    return Reviewable(*row)


def _put_to_use(connection: sa.Connection, entry: Reviewable, key: str, now: datetime) -> tuple[str, int]:
    """Id and sequence of the record as it stands now."""
    refuse_unacceptable(entry)
    if entry.is_stored:
        return _moved(connection, entry, str(entry.feedback_id))
    given = statement_of(entry, now)
    id_, user = given.record.id, given.record.user_id
    subject = None if user is None else subject_id(key, user)
    (arrival,) = write_feedback(connection, entry.tenant, [given], now, lambda _user: subject)
    if arrival is Arrival.ERASED:
        raise ErasedError(f"{entry.fingerprint} is of a person who was erased; it cannot be accepted")
    stored = connection.execute(
        sa.select(feedback.c.sequence, feedback.c.content_hash).where(
            feedback.c.tenant == entry.tenant, feedback.c.id == id_
        )
    ).one()
    if stored.content_hash != given.version.content_hash:
        raise ConflictError(
            f"{entry.fingerprint} cannot be accepted: a later statement is stored as feedback {id_}"
        )
    return _moved(connection, entry, id_) if arrival is Arrival.DUPLICATE else (id_, stored.sequence)


def _moved(connection: sa.Connection, entry: Reviewable, feedback_id: str) -> tuple[str, int]:
    sequence = move_beyond(connection, entry.tenant, feedback_id)
    if sequence is None:
        raise UnacceptableError(
            f"{entry.fingerprint} cannot be accepted: feedback {feedback_id} is no longer stored"
        )
    return feedback_id, sequence


def _withdraw(
    connection: sa.Connection, entry: Reviewable, before: Review | None
) -> tuple[str | None, int | None]:
    """Id and sequence of what is decided on: a record that is stored, as it was said or by an earlier decision."""
    is_in_use = before is not None and before.stands and before.decision is Decision.ACCEPTED
    id_ = before.feedback_id if before is not None and is_in_use else entry.feedback_id
    if id_ is None or not (entry.is_stored or is_in_use):
        return id_, None
    return id_, move_beyond(connection, entry.tenant, id_)


def _decisions(tenant: str, fingerprints: Sequence[str]) -> sa.Select[Any]:
    mine = quarantine_reviews.c
    stored = sa.and_(feedback.c.tenant == mine.tenant, feedback.c.id == mine.feedback_id)
    return (
        sa.select(quarantine_reviews, feedback.c.sequence.label("stored_as"))
        .outerjoin(feedback, stored)
        .where(mine.tenant == tenant, mine.fingerprint.in_(fingerprints))
    )


def latest(connection: sa.Connection, tenant: str, fingerprints: Sequence[str]) -> dict[str, Review]:
    """As `Reviews.latest`, for a caller who keeps a connection; not for very many."""
    query = _decisions(tenant, fingerprints).order_by(quarantine_reviews.c.sequence)
    return {row.fingerprint: _review(row, newest=True) for row in connection.execute(query)}


def _review(row: Any, *, newest: bool) -> Review:
    is_current = row.feedback_sequence is None or row.feedback_sequence == row.stored_as
    return Review(
        fingerprint=row.fingerprint,
        feedback_id=row.feedback_id,
        decision=Decision(row.decision),
        reason=row.reason,
        actor=row.actor,
        at=row.at,
        stands=newest and is_current,
    )
