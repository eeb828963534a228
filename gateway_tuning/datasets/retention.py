"""Which datasets stay, and how one goes: its rows are retired and audited in one transaction, then its objects go.

Killed in between, the next run removes what is left of the objects. What a row says of feedback stays: a model may have
learned from it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.datasets.catalog import remove_objects
from gateway_tuning.datasets.deleted import ACTION, REQUESTED, RETENTION, deletion_of, deletions
from gateway_tuning.datasets.uses import Uses, uses_of
from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import UtcDateTime, dataset_feedback, datasets
from gateway_tuning.storage.tenants import lock_tenant


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """The newest `keep` of a tenant stay, and all younger than `days`; None sets no age."""

    keep: int
    days: float | None = None

    def __post_init__(self) -> None:
        if self.keep < 0 or (self.days is not None and self.days < 0):
            raise ConfigurationError(
                f"A retention of keep={self.keep} and days={self.days} means nothing; give numbers from 0 on"
            )


@dataclass(frozen=True, slots=True)
class Held:
    dataset_id: str
    created_at: datetime
    uses: Uses


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` says what a dataset stays for; empty: it goes."""

    dataset_id: str
    created_at: datetime
    why: tuple[str, ...]

    @property
    def stays(self) -> bool:
        return bool(self.why)


@dataclass(frozen=True, slots=True)
class Deleted:
    """`objects` were removed of a dataset, beside its manifest."""

    dataset_id: str
    objects: int


def judge(held: Iterable[Held], policy: RetentionPolicy, *, now: datetime) -> list[Verdict]:
    """Pure. The newest come first; of one time the greater id counts as newer."""
    newest_first = sorted(held, key=lambda one: (one.created_at, one.dataset_id), reverse=True)
    young = None if policy.days is None else now - timedelta(days=policy.days)
    return [
        Verdict(
            one.dataset_id,
            one.created_at,
            (
                *((f"one of the newest {policy.keep}",) if place < policy.keep else ()),
                *((f"younger than {policy.days:g} days",) if young is not None and one.created_at > young else ()),
                *one.uses.told,
            ),
        )
        for place, one in enumerate(newest_first)
    ]  # fmt: skip


def preview(engine: sa.Engine, policy: RetentionPolicy, *, tenant: str, now: datetime) -> list[Verdict]:
    """What `retain` would do now."""
    with reading(engine) as connection:
        return judge(_living(connection, tenant), policy, now=now)


def retain(
    engine: sa.Engine,
    objects: ObjectStore,
    policy: RetentionPolicy,
    *,
    tenant: str,
    actor: str,
    now: datetime,
) -> tuple[list[Verdict], list[Deleted]]:
    """Delete what the policy does not keep, and finish what a killed run left. Run again, it changes nothing more."""
    detail = {"reason": RETENTION, "keep": policy.keep, "days": policy.days}
    with engine.begin() as connection:
        lock_tenant(connection, tenant)
        verdicts = judge(_living(connection, tenant), policy, now=now)
        going = [verdict.dataset_id for verdict in verdicts if not verdict.stays]
        _retire(connection, going, now)
        for dataset_id in going:
            event = AuditEvent(tenant, actor, ACTION, dataset_id, detail=detail)
            AuditLog(engine).append_in(connection, event, now=now)
    return verdicts, sweep(engine, objects, tenant=tenant)


def delete(
    engine: sa.Engine,
    objects: ObjectStore,
    dataset_id: str,
    *,
    tenant: str,
    actor: str,
    now: datetime,
    force: bool = False,
) -> Deleted:
    """Delete one dataset. One that was deleted already is only freed of objects that a killed run left.

    `force`: though model versions were trained on it or evaluations made.

    Raises:
        NotFoundError: the tenant has no such dataset, or an erasure took it.
        ConflictError: something needs it.
    """
    with engine.begin() as connection:
        lock_tenant(connection, tenant)
        mine = (datasets.c.id == dataset_id, datasets.c.tenant == tenant)
        row = connection.execute(sa.select(datasets.c.retired_at).where(*mine).limit(1)).one_or_none()
        if row is None:
            raise NotFoundError(f"No dataset {dataset_id}; `gateway-tuning datasets` lists them")
        if row.retired_at is None:
            uses = uses_of(connection, tenant).get(dataset_id, Uses())
            _refuse_used(connection, dataset_id, uses, force=force)
            _retire(connection, [dataset_id], now)
            detail: dict[str, Any] = {"reason": REQUESTED, "forced": force}
            detail |= {"models": list(uses.models), "evaluations": list(uses.evaluations)}
            event = AuditEvent(tenant, actor, ACTION, dataset_id, detail=detail)
            AuditLog(engine).append_in(connection, event, now=now)
        elif deletion_of(connection, dataset_id) is None:
            raise NotFoundError(
                f"Dataset {dataset_id} held data of an erased person and is gone already; nothing is left to delete"
            )
    return Deleted(dataset_id, _remove(engine, objects, tenant, dataset_id))


def sweep(engine: sa.Engine, objects: ObjectStore, *, tenant: str) -> list[Deleted]:
    """Remove what is left of the objects of deleted datasets."""
    with reading(engine) as connection:
        gone = {deletion.dataset_id for deletion in deletions(connection, tenant=tenant)}
    there = {key.split("/")[1] for key in objects.list_keys(layout.DATASETS)} if gone else set()
    return [Deleted(id_, _remove(engine, objects, tenant, id_)) for id_ in sorted(gone & there)]


def _remove(engine: sa.Engine, objects: ObjectStore, tenant: str, dataset_id: str) -> int:
    """Whoever catalogues the same content again at this moment waits, and then finds its objects missing."""
    with engine.begin() as connection:
        lock_tenant(connection, tenant)
        return 0 if deletion_of(connection, dataset_id) is None else remove_objects(objects, dataset_id)


def _retire(connection: sa.Connection, going: Sequence[str], now: datetime) -> None:
    for dataset_id in going:
        living = (datasets.c.id == dataset_id, datasets.c.retired_at.is_(None))
        connection.execute(sa.update(datasets).where(*living).values(retired_at=now))


def _refuse_used(connection: sa.Connection, dataset_id: str, uses: Uses, *, force: bool) -> None:
    if uses.work:
        raise ConflictError(
            f"Dataset {dataset_id} is in use: {'; '.join(uses.told)}. Wait for that to end, or cancel it"
        )
    if uses.told and not force:
        raise ConflictError(
            f"Dataset {dataset_id} is needed: {'; '.join(uses.told)}. --force deletes it all the same"
        )
    if uses.models and not _has_lineage(connection, dataset_id):
        # An erasure finds by its lineage which models learned from a person, and here by its parts alone.
        raise ConflictError(
            f"Dataset {dataset_id} has no lineage, so that only its parts tell whom {uses.models[0]} learned from; "
            "it cannot be deleted"
        )


def _has_lineage(connection: sa.Connection, dataset_id: str) -> bool:
    query = sa.select(dataset_feedback.c.feedback_id).where(dataset_feedback.c.dataset_id == dataset_id)
    return connection.execute(query.limit(1)).first() is not None


def _living(connection: sa.Connection, tenant: str) -> list[Held]:
    rows = connection.execute(
        sa.select(datasets.c.id, sa.func.min(datasets.c.created_at, type_=UtcDateTime()).label("at"))
        .where(datasets.c.tenant == tenant, datasets.c.retired_at.is_(None))
        .group_by(datasets.c.id)
    ).all()
    uses = uses_of(connection, tenant)
    return [Held(row.id, row.at, uses.get(row.id, Uses())) for row in rows]
