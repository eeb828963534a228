"""How often something was started again because its process was gone. Counted here, so that it comes to an end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import restarts

PAUSES = (timedelta(), timedelta(minutes=5), timedelta(minutes=30))
"""Before the first, second and third restart. There is no fourth, until something was finished in between."""


class Due(StrEnum):
    NOW = "now"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Restart:
    subject: str
    number: int
    reason: str
    at: datetime

    @property
    def key(self) -> str:
        """Under which the orchestrator starts it, once."""
        return f"{self.subject}:restart-{self.number}"


def due(before: Sequence[Restart], *, progress_at: datetime | None, now: datetime) -> Due:
    """Whether another restart may follow those, oldest first.

    `progress_at` is when what is restarted finished something last: restarts before that are forgiven.
    """
    since = [restart for restart in before if progress_at is None or restart.at > progress_at]
    if len(since) >= len(PAUSES):
        return Due.NEVER
    ready = not since or now - since[-1].at >= PAUSES[len(since)]
    return Due.NOW if ready else Due.LATER


def read_restarts(connection: sa.Connection, subject: str) -> list[Restart]:
    query = sa.select(restarts).where(restarts.c.subject == subject).order_by(restarts.c.number)
    return [Restart(row.subject, row.number, row.reason, row.at) for row in connection.execute(query)]


def insert_restart(connection: sa.Connection, restart: Restart) -> None:
    """Inside the caller's transaction. The first of a number stays."""
    with first_insert_wins(connection):
        connection.execute(
            sa.insert(restarts).values(
                subject=restart.subject, number=restart.number, reason=restart.reason, at=restart.at
            )
        )


class RestartStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def of(self, subject: str) -> list[Restart]:
        """Oldest first."""
        with reading(self._engine) as connection:
            return read_restarts(connection, subject)

    def note(self, restart: Restart) -> None:
        """Call it when the orchestrator has been asked: asked twice under one key, it starts one run."""
        with self._engine.begin() as connection:
            insert_restart(connection, restart)
