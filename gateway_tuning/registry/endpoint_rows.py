"""Endpoints inside a caller's transaction, and what they were before."""

from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.registry.endpoint import Endpoint, EndpointChange
from gateway_tuning.storage.tables import endpoint_history, endpoints


def find_endpoint(connection: sa.Connection, version_id: str) -> Endpoint | None:
    row = connection.execute(sa.select(endpoints).where(endpoints.c.version_id == version_id)).one_or_none()
    return None if row is None else Endpoint(row.base_url, row.served_model, row.extra_body, row.api_key_env)


def put_endpoint(
    connection: sa.Connection, version_id: str, endpoint: Endpoint, *, by: str | None, now: datetime
) -> None:
    """Set it, and keep it in the history where it differs from what stood there."""
    before = find_endpoint(connection, version_id)
    values = {
        "base_url": endpoint.base_url,
        "served_model": endpoint.model,
        "extra_body": endpoint.extra_body,
        "api_key_env": endpoint.api_key_env,
        "updated_at": now,
    }
    if before is None:
        connection.execute(sa.insert(endpoints).values(version_id=version_id, **values))
    else:
        connection.execute(sa.update(endpoints).where(endpoints.c.version_id == version_id).values(**values))
    if before is not None and before.digest == endpoint.digest:
        return
    connection.execute(
        sa.insert(endpoint_history).values(
            version_id=version_id,
            base_url=endpoint.base_url,
            served_model=endpoint.model,
            digest=endpoint.digest,
            actor=by,
            at=now,
        )
    )


def endpoint_changes(connection: sa.Connection, version_id: str) -> list[EndpointChange]:
    """Oldest first."""
    kept = endpoint_history.c
    rows = connection.execute(
        sa.select(endpoint_history).where(kept.version_id == version_id).order_by(kept.sequence)
    )
    return [
        EndpointChange(row.version_id, row.base_url, row.served_model, row.digest, row.actor, row.at)
        for row in rows
    ]
