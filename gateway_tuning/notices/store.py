"""The outbox: notices, and to which channels each is still to be sent.

A notice and its deliveries are written in one transaction, for the channels that are configured then: one that is added
later is not flooded with what is past. Sending is at least once: a delivery is claimed before it is tried, and a
claim that nothing followed is due again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.paging import newest_first
from gateway_tuning.storage.tables import notification_deliveries as deliveries
from gateway_tuning.storage.tables import notifications

MOST_ATTEMPTS = 30
"""With the pauses below: tried for a day, then given up."""
_CLAIMED_FOR = timedelta(minutes=2)  # longer than a channel's own time limit
_LONGEST_PAUSE = timedelta(hours=1)
_BEGUN = notice_id("notices", "begun")
_LONGEST_ERROR = 300
_MOST_ALIKE = 3  # in an hour: a flow that fails every minute is told, and does not drown what else is


@dataclass(frozen=True, slots=True)
class Delivery:
    """`attempts` counts this one. `sent_at` is None of what was not sent, given up or not."""

    notice: Notice
    channel: str
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    sent_at: datetime | None = None
    error: str | None = None

    @property
    def is_given_up(self) -> bool:
        return self.sent_at is None and self.attempts >= MOST_ATTEMPTS


@dataclass(frozen=True, slots=True)
class StoredNotice:
    notice: Notice
    created_at: datetime
    deliveries: tuple[Delivery, ...]


class NoticeStore:
    """`wanted` is the least severity that each configured channel is sent, by the channel's name."""

    def __init__(self, engine: sa.Engine, wanted: Mapping[str, Severity] | None = None) -> None:
        self._engine = engine
        self._wanted = dict(wanted or {})

    def begin(self, now: datetime) -> datetime:
        """Since when is told what happens. The first call begins, with a notice that shows whether channels work."""
        query = sa.select(notifications.c.created_at).where(notifications.c.id == _BEGUN)
        with reading(self._engine) as connection:
            begun: datetime | None = connection.execute(query).scalar_one_or_none()
        if begun is not None:
            return begun
        self.add(
            [
                Notice(
                    _BEGUN,
                    "default",
                    Kind.NOTICES,
                    Severity.INFORMATION,
                    "Notices begin",
                    "Gates, canaries, approvals, costs, drift and failures are told here from now on.",
                )
            ],
            now,
        )
        return now

    def add(self, notices: Iterable[Notice], now: datetime) -> int:
        """How many were new; one that is known stays as it was told first.

        Of those with one subject, three an hour are sent; the others are kept and shown.
        """
        return sum(self._add(notice, now) for notice in notices)

    def known(self, ids: Iterable[str]) -> set[str]:
        query = sa.select(notifications.c.id).where(notifications.c.id.in_(list(ids)))
        with reading(self._engine) as connection:
            return set(connection.execute(query).scalars())

    def due(self, now: datetime, *, limit: int) -> list[Delivery]:
        """Of the configured channels, oldest notice first."""
        query = (
            _joined()
            .where(deliveries.c.channel.in_(list(self._wanted)), deliveries.c.sent_at.is_(None))
            .where(deliveries.c.next_attempt_at <= now, deliveries.c.attempts < MOST_ATTEMPTS)
            .order_by(notifications.c.created_at, notifications.c.id, deliveries.c.channel)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [_delivery(row) for row in connection.execute(query)]

    def claim(self, delivery: Delivery, now: datetime) -> bool:
        """Before it is tried; False where another process does. The attempt counts from here on."""
        claimed = (
            sa.update(deliveries)
            .where(*_is(delivery), deliveries.c.attempts == delivery.attempts, deliveries.c.sent_at.is_(None))
            .values(attempts=delivery.attempts + 1, next_attempt_at=now + _CLAIMED_FOR)
        )
        with self._engine.begin() as connection:
            return connection.execute(claimed).rowcount == 1

    def sent(self, delivery: Delivery, now: datetime) -> None:
        self._write(delivery, {"sent_at": now, "error": None})

    def failed(
        self, delivery: Delivery, error: str, now: datetime, *, not_before: datetime | None = None
    ) -> None:
        """To be tried again after a pause that doubles, from a minute to an hour, or later where the channel asks so.

        `delivery` is as it was before its claim.
        """
        pause = min(timedelta(minutes=2 ** min(delivery.attempts, 10)), _LONGEST_PAUSE)
        again = now + pause if not_before is None else max(not_before, now + pause)
        self._write(delivery, {"next_attempt_at": again, "error": error[:_LONGEST_ERROR]})

    def page(
        self, tenant: str, *, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[StoredNotice]:
        """Newest first, each with what became of it. `before` is time and id of the last one of the page before."""
        rows = newest_first(self._engine, notifications, tenant=tenant, limit=limit, before=before)
        return self._stored(rows)

    def get(self, beginning: str) -> StoredNotice:
        """By how its id begins. Raises NotFoundError where none, or more than one, begins so."""
        query = sa.select(notifications).where(notifications.c.id.startswith(beginning, autoescape=True))
        with reading(self._engine) as connection:
            rows = list(connection.execute(query.limit(2)))
        if len(rows) != 1:
            found = "No notice" if not rows else "More than one notice"
            raise NotFoundError(
                f"{found} begins with {beginning!r}; `gateway-tuning notices list` shows them"
            )
        return self._stored(rows)[0]

    def _stored(self, rows: "Sequence[sa.Row[Any]]") -> list[StoredNotice]:
        query = _joined().where(notifications.c.id.in_([row.id for row in rows]))
        with reading(self._engine) as connection:
            found = [_delivery(row) for row in connection.execute(query.order_by(deliveries.c.channel))]
        return [
            StoredNotice(_notice(row), row.created_at, tuple(one for one in found if one.notice.id == row.id))
            for row in rows
        ]

    def _add(self, notice: Notice, now: datetime) -> bool:
        row = {name: getattr(notice, name) for name in _FIELDS}
        query = sa.select(notifications.c.id).where(notifications.c.id == notice.id)
        with self._engine.begin() as connection:
            if connection.execute(query).one_or_none() is not None:
                return False
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(notifications).values(**row, created_at=now))
            except sa.exc.IntegrityError:  # another process was first
                return False
            heard = _alike(connection, notice, now) <= _MOST_ALIKE
            for channel, least in self._wanted.items():
                if heard and notice.severity.rank >= least.rank:
                    connection.execute(
                        sa.insert(deliveries).values(
                            notification_id=notice.id, channel=channel, attempts=0, next_attempt_at=now
                        )
                    )
        return True

    def _write(self, delivery: Delivery, values: dict[str, object]) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.update(deliveries).where(*_is(delivery)).values(**values))


_FIELDS = ("id", "tenant", "kind", "severity", "subject", "body", "object_id")


def _alike(connection: sa.Connection, notice: Notice, now: datetime) -> int:
    """Notices with this subject within the last hour, this one included."""
    query = sa.select(sa.func.count()).where(
        notifications.c.created_at > now - timedelta(hours=1),
        notifications.c.tenant == notice.tenant,
        notifications.c.subject == notice.subject,
    )
    return connection.execute(query).scalar_one()


def _joined() -> "sa.Select[Any]":
    return sa.select(
        notifications,
        *(deliveries.c[name] for name in ("channel", "attempts", "next_attempt_at", "sent_at", "error")),
    ).join(deliveries, deliveries.c.notification_id == notifications.c.id)


def _is(delivery: Delivery) -> "tuple[sa.ColumnElement[bool], ...]":
    return (
        deliveries.c.notification_id == delivery.notice.id,
        deliveries.c.channel == delivery.channel,
    )


def _notice(row: "sa.Row[Any]") -> Notice:
    fields = {name: getattr(row, name) for name in _FIELDS}
    return Notice(**(fields | {"kind": Kind(row.kind), "severity": Severity(row.severity)}))


def _delivery(row: "sa.Row[Any]") -> Delivery:
    return Delivery(
        _notice(row), row.channel, row.attempts, row.next_attempt_at, row.created_at, row.sent_at, row.error
    )
