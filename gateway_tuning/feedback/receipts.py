"""The receipt of a feedback record: where it is, what was decided on it, and what was made of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.feedback.reviews import latest
from gateway_tuning.feedback.subjects import feedback_key
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import (
    dataset_feedback,
    datasets,
    enrichments,
    erased_feedback,
    feedback,
    model_versions,
    quarantine,
    tenants,
)


@dataclass(frozen=True, slots=True)
class SetAside:
    """`review` is what a person decided last, where it still stands."""

    stage: str
    reasons: tuple[str, ...]
    at: datetime
    review: str | None = None


@dataclass(frozen=True, slots=True)
class InDataset:
    """`reason` says why it was left out, or what was decided on its vote. `models` were trained on the dataset."""

    dataset_id: str
    used: bool
    reason: str | None
    retired: bool
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """`state` is stored, quarantined or erased. A stored record may have been set aside by a dataset's build."""

    id: str
    state: str
    type: str | None
    event_time: datetime | None
    received_at: datetime | None
    quarantine: tuple[SetAside, ...]
    datasets: tuple[InDataset, ...]
    enrichment: dict[str, Any] | None


def receipt(engine: sa.Engine, tenant: str, feedback_id: str) -> FeedbackReceipt:
    """By the record's id, or the fingerprint under which something without an id was set aside.

    Raises:
        NotFoundError: the tenant has no such feedback.
    """
    with reading(engine) as connection:
        stored = connection.execute(
            sa.select(feedback.c.type, feedback.c.event_time, feedback.c.received_at).where(
                feedback.c.tenant == tenant, feedback.c.id == feedback_id
            )
        ).one_or_none()
        aside = _set_aside(connection, tenant, feedback_id)
        if stored is None and not aside and not _was_erased(connection, tenant, feedback_id):
            raise NotFoundError(f"No feedback {feedback_id}")
        enriched = connection.execute(
            sa.select(enrichments.c.status, enrichments.c.result).where(
                enrichments.c.tenant == tenant, enrichments.c.feedback_id == feedback_id
            )
        ).one_or_none()
        return FeedbackReceipt(
            id=feedback_id,
            state="stored" if stored else "quarantined" if aside else "erased",
            type=stored.type if stored else None,
            event_time=stored.event_time if stored else None,
            received_at=stored.received_at if stored else None,
            quarantine=aside,
            datasets=_datasets(connection, tenant, feedback_id),
            enrichment=None if enriched is None else {"status": enriched.status, **enriched.result},
        )


def _set_aside(connection: sa.Connection, tenant: str, feedback_id: str) -> tuple[SetAside, ...]:
    query = (
        sa.select(quarantine.c.fingerprint, quarantine.c.stage, quarantine.c.reasons, quarantine.c.created_at)
        .where(
            quarantine.c.tenant == tenant,
            sa.or_(quarantine.c.feedback_id == feedback_id, quarantine.c.fingerprint == feedback_id),
        )
        .order_by(quarantine.c.sequence)
    )
    rows = connection.execute(query).all()
    reviews = latest(connection, tenant, [row.fingerprint for row in rows])
    return tuple(
        SetAside(
            row.stage,
            tuple(row.reasons),
            row.created_at,
            review.decision.value if (review := reviews.get(row.fingerprint)) and review.stands else None,
        )
        for row in rows
    )


def _datasets(connection: sa.Connection, tenant: str, feedback_id: str) -> tuple[InDataset, ...]:
    mine = dataset_feedback.c
    rows = connection.execute(
        sa.select(mine.dataset_id, mine.used, mine.reason)
        .where(mine.tenant == tenant, mine.feedback_id == feedback_id)
        .order_by(mine.dataset_id)
    ).all()
    ids = [row.dataset_id for row in rows]
    retired = set(
        connection.execute(
            sa.select(datasets.c.id).where(datasets.c.id.in_(ids), datasets.c.retired_at.is_not(None))
        ).scalars()
    )
    trained: dict[str, list[str]] = {}
    query = sa.select(model_versions.c.dataset_id, model_versions.c.id).where(
        model_versions.c.dataset_id.in_(ids)
    )
    for dataset_id, version_id in connection.execute(query.order_by(model_versions.c.id)):
        trained.setdefault(dataset_id, []).append(version_id)
    return tuple(
        InDataset(
            row.dataset_id, row.used, row.reason, row.dataset_id in retired,
            # What was left out taught nobody.
            tuple(trained.get(row.dataset_id, ())) if row.used else (),
        )
        for row in rows
    )  # fmt: skip


def _was_erased(connection: sa.Connection, tenant: str, feedback_id: str) -> bool:
    key = connection.execute(
        sa.select(tenants.c.subject_key).where(tenants.c.name == tenant)
    ).scalar_one_or_none()
    if key is None:
        return False
    query = sa.select(erased_feedback.c.erasure_id).where(
        erased_feedback.c.tenant == tenant, erased_feedback.c.feedback_key == feedback_key(key, feedback_id)
    )
    return connection.execute(query).first() is not None
