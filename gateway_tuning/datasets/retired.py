"""Datasets that an erasure or somebody took away, and what stands in their place."""

import sqlalchemy as sa

from gateway_tuning.datasets.deleted import refuse_deleted
from gateway_tuning.errors import ErasedError
from gateway_tuning.storage.tables import datasets
from gateway_tuning.storage.tenants import lock_tenant


def require_live(connection: sa.Connection, tenant: str, dataset_id: str | None) -> None:
    """Call inside the transaction that writes something made of the dataset: no erasure slips in between.

    Raises:
        ErasedError: the dataset is retired.
    """
    if dataset_id is None:
        return
    lock_tenant(connection, tenant)
    refuse_retired(connection, dataset_id)


def refuse_retired(connection: sa.Connection, dataset_id: str) -> None:
    """Raises ErasedError naming what to use instead, or NotFoundError where it was deleted. An unknown dataset passes."""
    if not is_retired(connection, dataset_id):
        return
    refuse_deleted(connection, dataset_id)
    left = successor(connection, dataset_id)
    remedy = f"use {left}, which holds the rest" if left else "nothing is left of it; build a new one"
    raise ErasedError(f"Dataset {dataset_id} held data of an erased person and is gone; {remedy}")


def is_retired(connection: sa.Connection, dataset_id: str) -> bool:
    query = sa.select(datasets.c.id).where(datasets.c.id == dataset_id, datasets.c.retired_at.is_not(None))
    return connection.execute(query).first() is not None


def successor(connection: sa.Connection, dataset_id: str) -> str | None:
    """The living dataset that is left of this one: itself, its replacement, or what replaced that; None if nothing."""
    at: str | None = dataset_id
    while at is not None:
        query = sa.select(datasets.c.retired_at, datasets.c.replaced_by).where(datasets.c.id == at).limit(1)
        row = connection.execute(query).one_or_none()
        if row is None or row.retired_at is None:
            return None if row is None else at
        at = row.replaced_by
    return None
