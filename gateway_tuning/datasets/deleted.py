"""Datasets that somebody deleted, or that retention did: a deletion is known by its entry in the audit log.

A dataset that an erasure retired has no such entry of the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.storage.tables import audit_entries, datasets

ACTION = "dataset.delete"
RETENTION, REQUESTED = "retention", "requested"


@dataclass(frozen=True, slots=True)
class Deletion:
    dataset_id: str
    tenant: str
    at: datetime
    actor: str
    detail: Mapping[str, Any]

    @property
    def told(self) -> str:
        why = "as the retention policy says" if self.detail.get("reason") == RETENTION else "on request"
        return f"was deleted by {self.actor} on {self.at:%Y-%m-%d %H:%M} UTC, {why}"


def deletions(
    connection: sa.Connection, *, dataset_id: str | None = None, tenant: str | None = None
) -> list[Deletion]:
    """Those that stand: of datasets that are still retired. Either of all, or of one dataset or tenant."""
    query = (
        sa.select(
            audit_entries.c.object_id,
            audit_entries.c.tenant,
            audit_entries.c.at,
            audit_entries.c.actor,
            audit_entries.c.detail,
        )
        .join(
            datasets,
            sa.and_(
                datasets.c.id == audit_entries.c.object_id,
                datasets.c.tenant == audit_entries.c.tenant,
                datasets.c.retired_at == audit_entries.c.at,
            ),
        )
        .where(audit_entries.c.action == ACTION)
        .order_by(audit_entries.c.sequence)
    )
    if dataset_id is not None:
        query = query.where(datasets.c.id == dataset_id)
    if tenant is not None:
        query = query.where(datasets.c.tenant == tenant)
    found = {row.object_id: Deletion(*row) for row in connection.execute(query)}
    return list(found.values())


def deletion_of(connection: sa.Connection, dataset_id: str) -> Deletion | None:
    return next(iter(deletions(connection, dataset_id=dataset_id)), None)


def refuse_deleted(connection: sa.Connection, dataset_id: str) -> None:
    """Raises NotFoundError saying who deleted the dataset, when and why. Any other dataset passes."""
    found = deletion_of(connection, dataset_id)
    if found is not None:
        raise NotFoundError(
            f"Dataset {dataset_id} {found.told}; `gateway-tuning datasets` lists those that stand"
        )


def revive(connection: sa.Connection, dataset_id: str, *, created_at: datetime) -> None:
    """A dataset that was deleted is built again with equal content: it stands again, as old as `created_at`.

    Call before it is catalogued, in the same transaction. Any other dataset stays as it is.
    """
    if deletion_of(connection, dataset_id) is None:
        return
    connection.execute(
        sa.update(datasets)
        .where(datasets.c.id == dataset_id)
        .values(retired_at=None, replaced_by=None, created_at=created_at)
    )
