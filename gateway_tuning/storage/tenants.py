"""Tenants and the key that hides their users."""

import secrets
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import models, tenants


def subject_key(engine: sa.Engine, tenant: str, *, now: datetime) -> str:
    """The tenant's key in hex, made when it is first asked for."""
    query = sa.select(tenants.c.subject_key).where(tenants.c.name == tenant)
    with reading(engine) as connection:
        known: str | None = connection.execute(query).scalar_one_or_none()
    if known is not None:
        return known
    with engine.begin() as connection:
        with first_insert_wins(connection):
            connection.execute(
                tenants.insert().values(name=tenant, subject_key=secrets.token_hex(32), created_at=now)
            )
        made: str = connection.execute(query).scalar_one()
        return made


def claim_model(engine: sa.Engine, model: str, tenant: str, *, now: datetime) -> None:
    """A name behind the gateway belongs to whoever uses it first. Raises ConflictError for any other tenant."""
    with engine.begin() as connection:
        with first_insert_wins(connection):
            connection.execute(models.insert().values(name=model, tenant=tenant, created_at=now))
        owner = connection.execute(sa.select(models.c.tenant).where(models.c.name == model)).scalar_one()
    if owner != tenant:
        raise ConflictError(f"The model name {model!r} is taken by another tenant; choose another name")


def lock_tenant(connection: sa.Connection, tenant: str) -> None:
    """One writer of a tenant's feedback until the transaction ends: sequences become visible in their order.

    SQLite has one writer anyway. Without this, PostgreSQL may commit sequence 7 after a reader took 8 as its
    watermark, a record may slip in behind an erasure, and two writers of one id may meet.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(tenant, 0))))
