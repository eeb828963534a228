"""Leases with an expiry and a fencing token: one holder at a time, and a stopped holder that wakes up cannot write.

Kept here and not in Prefect, whose locks never expire after a kill.
"""

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import leases


@dataclass(frozen=True, slots=True)
class Lease:
    """`fence` rises with every holder; a write under an old fence is refused by `check`."""

    name: str
    owner: str
    fence: int


def this_process() -> str:
    """Names this process so that others on the same host can see when it is gone."""
    return f"{socket.gethostname()}|{os.getpid()}|{_started(os.getpid())}"


def acquire(engine: sa.Engine, name: str, *, owner: str, now: datetime, seconds: float) -> Lease:
    """Take the lease when it is free, expired, or held by a process of this host that is gone.

    Raises:
        ConflictError: somebody else holds it.
    """
    with engine.begin() as connection:
        with first_insert_wins(connection):
            connection.execute(sa.insert(leases).values(name=name, owner="", fence=0, expires_at=now))
        row = connection.execute(sa.select(leases).where(leases.c.name == name).with_for_update()).one()
        if row.owner not in {"", owner} and row.expires_at > now and not _is_gone(row.owner):
            raise ConflictError(
                f"{name} is held by {row.owner} until {row.expires_at:%H:%M:%S} UTC; wait for it to end"
            )
        fence = row.fence + 1
        _write(connection, name, owner=owner, fence=fence, expires_at=now + timedelta(seconds=seconds))
    return Lease(name, owner, fence)


def holder(engine: sa.Engine, name: str, *, now: datetime) -> str | None:
    """Who holds the lease; None where it is free, expired, or its holder was a process of this host that is gone."""
    with reading(engine) as connection:
        row = connection.execute(sa.select(leases).where(leases.c.name == name)).one_or_none()
    if row is None or not row.owner or row.expires_at <= now or _is_gone(row.owner):
        return None
    owner: str = row.owner
    return owner


def renew(engine: sa.Engine, lease: Lease, *, now: datetime, seconds: float) -> None:
    """Raises ConflictError when somebody else took the lease meanwhile."""
    with engine.begin() as connection:
        check(connection, lease)
        _write(
            connection,
            lease.name,
            owner=lease.owner,
            fence=lease.fence,
            expires_at=now + timedelta(seconds=seconds),
        )


def release(engine: sa.Engine, lease: Lease, *, now: datetime) -> None:
    """Free the lease; a lease that was lost is left to its new holder."""
    with engine.begin() as connection:
        connection.execute(
            sa.update(leases)
            .where(leases.c.name == lease.name, leases.c.fence == lease.fence)
            .values(owner="", expires_at=now)
        )


def check(connection: sa.Connection, lease: Lease) -> None:
    """Call inside the transaction that writes under the lease. Raises ConflictError when it was lost."""
    fence = connection.execute(
        sa.select(leases.c.fence).where(leases.c.name == lease.name).with_for_update()
    ).scalar_one()
    if fence != lease.fence:
        raise ConflictError(
            f"{lease.name} was taken over by another process; this one must not write any more"
        )


def _write(connection: sa.Connection, name: str, **values: object) -> None:
    connection.execute(sa.update(leases).where(leases.c.name == name).values(**values))


def _is_gone(owner: str) -> bool:
    host, pid, started, *_ = owner.split("|")  # one process may hold for several of its threads
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """Start time in clock ticks since boot (Linux), which tells a process from a later one with its id."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - /proc is no file
            fields = stat.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return "gone"
    return "gone" if fields[0] == "Z" else fields[19]
