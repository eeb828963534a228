"""What was set aside, in the order in which a person reviews it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.acceptance import Reviewable, why_unacceptable
from gateway_tuning.feedback.reviews import Review, Reviews
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.paging import owned_row
from gateway_tuning.storage.tables import feedback, quarantine, quarantine_reviews

WAITING = "waiting"
_REVIEWED = ("validation", "trust")  # nobody may accept what the other stages set aside
_MOST_COUNTED = 1000
# What a person needs to judge a record, in the order in which it was said.
_TEXTS = (
    *("system_prompt", "prompt", "response", "corrected_response"),
    *("reformulated_prompt", "reformulated_response", "comment"),
)


@dataclass(frozen=True, slots=True)
class SetAside:
    """`against` is why nobody may accept it, None where a person may."""

    sequence: int
    fingerprint: str
    stage: str
    source: str
    position: str
    feedback_id: str | None
    reasons: tuple[str, ...]
    created_at: datetime
    against: str | None
    review: Review | None


def page(
    engine: sa.Engine,
    tenant: str,
    *,
    state: str | None,
    stage: str | None,
    before: int | None,
    limit: int,
) -> list[SetAside]:
    """Newest first. `state` is `waiting`, a decision, or None for all."""
    query = sa.select(quarantine).where(quarantine.c.tenant == tenant)
    if stage is not None:
        query = query.where(quarantine.c.stage == stage)
    if before is not None:
        query = query.where(quarantine.c.sequence < before)
    if state == WAITING:
        query = query.where(_is_waiting())
    elif state is not None:
        mine = quarantine_reviews.c
        ever = sa.select(mine.fingerprint).where(mine.tenant == tenant, mine.decision == state)
        query = query.where(quarantine.c.fingerprint.in_(ever), _decision() == state)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(quarantine.c.sequence.desc()).limit(limit)).all()
    reviews = Reviews(engine).latest(tenant, [row.fingerprint for row in rows])
    return [_set_aside(row, reviews.get(row.fingerprint)) for row in rows]


def one(engine: sa.Engine, tenant: str, fingerprint: str) -> SetAside:
    """Raises NotFoundError."""
    row = _row(engine, tenant, fingerprint)
    return _set_aside(row, Reviews(engine).latest(tenant, [fingerprint]).get(fingerprint))


def waiting(engine: sa.Engine, tenant: str) -> tuple[int, bool]:
    """How many nobody has decided on, and whether there are more than were counted."""
    some = (
        sa.select(sa.literal(1))
        .select_from(quarantine)
        .where(quarantine.c.tenant == tenant, _is_waiting())
        .limit(_MOST_COUNTED + 1)
        .subquery()
    )
    with reading(engine) as connection:
        counted = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    return min(counted, _MOST_COUNTED), counted > _MOST_COUNTED


def texts(engine: sa.Engine, tenant: str, fingerprint: str) -> dict[str, str]:
    """What the record says, by field. Raises NotFoundError where its text is not kept, or cannot be read."""
    row = _row(engine, tenant, fingerprint)
    values = json.loads(row.raw) if row.raw is not None else _stored(engine, tenant, row.feedback_id)
    if not isinstance(values, dict):
        raise NotFoundError(f"Nothing readable is kept of {fingerprint}")
    return dict(_told(values))


def _told(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for turn in values.get("history") or ():
        if isinstance(turn, dict):
            yield f"earlier, {turn.get('role', 'somebody')}", str(turn.get("content", ""))
    for name in _TEXTS:
        if values.get(name) is not None:
            yield name, str(values[name])


def _stored(engine: sa.Engine, tenant: str, feedback_id: str | None) -> Any:
    query = sa.select(feedback.c.record).where(feedback.c.tenant == tenant, feedback.c.id == feedback_id)
    with reading(engine) as connection:
        return connection.execute(query).scalar_one_or_none()


def _row(engine: sa.Engine, tenant: str, fingerprint: str) -> "sa.Row[Any]":
    return owned_row(
        engine, quarantine, fingerprint, tenant=tenant, what="record set aside", key="fingerprint"
    )


def _is_waiting() -> sa.ColumnElement[bool]:
    """Nobody has decided on it, and somebody might accept it."""
    mine = quarantine_reviews.c
    decided = sa.exists(
        sa.select(mine.sequence).where(
            mine.tenant == quarantine.c.tenant, mine.fingerprint == quarantine.c.fingerprint
        )
    )
    return sa.and_(quarantine.c.stage.in_(_REVIEWED), ~decided)


def _decision() -> "sa.ScalarSelect[str]":
    mine = quarantine_reviews.c
    return (
        sa.select(mine.decision)
        .where(mine.tenant == quarantine.c.tenant, mine.fingerprint == quarantine.c.fingerprint)
        .order_by(mine.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )


def _set_aside(row: Any, review: Review | None) -> SetAside:
    entry = Reviewable(row.tenant, row.fingerprint, row.stage, row.reasons, row.raw, row.feedback_id)
    return SetAside(
        sequence=row.sequence,
        fingerprint=row.fingerprint,
        stage=row.stage,
        source=row.source,
        position=row.position,
        feedback_id=row.feedback_id,
        reasons=tuple(row.reasons),
        created_at=row.created_at,
        against=why_unacceptable(entry),
        review=review,
    )
