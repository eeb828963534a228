"""Feedback and quarantine written inside a caller's transaction. What is known already is not written again."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.versions import Statement, Version
from gateway_tuning.storage.tables import UtcDateTime, erasures, feedback, quarantine, rating_tokens

SubjectOf = Callable[[str | None], str | None]


class Arrival(StrEnum):
    ADDED = "added"
    REPLACED = "replaced"  # a later statement under a known id took the place of the earlier one
    DUPLICATE = "duplicate"  # known already, or older than what is known
    ERASED = "erased"  # of a person who was erased after saying it


_COLUMNS = (
    "tenant",
    "id",
    "subject_id",
    "type",
    "event_time",
    "revision",
    "received_at",
    "content_hash",
    "record",
)
_KNOWN = """
SELECT id, event_time, revision, content_hash FROM feedback
WHERE tenant = ? AND id IN (SELECT value FROM json_each(?))
"""
_INSERT = f"INSERT INTO feedback ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - fixed names

# `sequence = excluded.sequence`: a replaced record moves beyond every watermark, so that readers see it.
_UPSERT = """
INSERT INTO feedback (tenant, id, subject_id, type, event_time, revision, received_at, content_hash, record)
SELECT %(tenant)s, id, subject_id, type, event_time, revision, %(received_at)s, content_hash, record::json
FROM unnest(%(ids)b::text[], %(subjects)b::text[], %(types)b::text[], %(times)b::timestamptz[],
            %(revisions)b::bigint[], %(hashes)b::text[], %(records)b::text[])
     AS given(id, subject_id, type, event_time, revision, content_hash, record)
ON CONFLICT (tenant, id) DO UPDATE SET
    sequence = excluded.sequence, subject_id = excluded.subject_id, type = excluded.type,
    event_time = excluded.event_time, revision = excluded.revision, received_at = excluded.received_at,
    content_hash = excluded.content_hash, record = excluded.record
WHERE (feedback.event_time, feedback.revision, feedback.content_hash COLLATE "C")
    < (excluded.event_time, excluded.revision, excluded.content_hash COLLATE "C")
RETURNING id, xmax = 0
"""


@dataclass(frozen=True, slots=True)
class _Winner:
    statement: Statement
    subject: str | None


_WITHOUT_TEXT = {
    "feedback_id": None,
    "subject_id": None,
    "reasons": ["Of a person who was erased: its text is not kept"],
    "raw": None,
}


def write_feedback(
    connection: sa.Connection,
    tenant: str,
    statements: Sequence[Statement],
    received_at: datetime,
    subject_of: SubjectOf,
) -> list[Arrival]:
    """One arrival a statement, in their order. The caller holds the tenant's lock (`storage.tenants.lock_tenant`)."""
    subjects = [subject_of(given.record.user_id) for given in statements]
    erased = erased_at(connection, tenant, {subject for subject in subjects if subject is not None})
    arrivals = [Arrival.DUPLICATE] * len(statements)
    winners: dict[str, _Winner] = {}
    places: dict[str, list[int]] = defaultdict(list)  # of the statements that were the latest when they came
    for place, (given, subject) in enumerate(zip(statements, subjects, strict=True)):
        if subject in erased and given.version.event_time <= erased[subject]:
            arrivals[place] = Arrival.ERASED
            continue
        known = winners.get(given.record.id)
        if known is None or given.version > known.statement.version:
            winners[given.record.id] = _Winner(given, subject)
            places[given.record.id].append(place)
    if winners:
        write = _upsert if connection.dialect.name == "postgresql" else _delete_and_insert
        for id_, arrival in write(connection, tenant, winners, received_at).items():
            if arrival is Arrival.REPLACED:
                arrivals[places[id_][-1]] = Arrival.REPLACED
                continue
            arrivals[places[id_][0]] = Arrival.ADDED
            for place in places[id_][1:]:
                arrivals[place] = Arrival.REPLACED
    return arrivals


def write_quarantine(
    connection: sa.Connection,
    tenant: str,
    entries: Sequence[QuarantineEntry],
    created_at: datetime,
    subject_of: SubjectOf,
) -> int:
    """How many of the entries are new; known ones stay as they are.

    Of a person who was erased, nobody can tell from a broken row when they said it: the row is counted and its text
    is not kept.
    """
    by_fingerprint: dict[str, QuarantineEntry] = {}
    for entry in entries:
        by_fingerprint.setdefault(entry.fingerprint, entry)
    query = sa.select(quarantine.c.fingerprint).where(
        quarantine.c.tenant == tenant, quarantine.c.fingerprint.in_(by_fingerprint)
    )
    known = set(connection.execute(query).scalars())
    subjects = {fingerprint: subject_of(entry.user_id) for fingerprint, entry in by_fingerprint.items()}
    erased = erased_at(connection, tenant, {subject for subject in subjects.values() if subject is not None})
    rows = [
        {
            "tenant": entry.tenant,
            "fingerprint": fingerprint,
            "stage": entry.stage,
            "source": entry.source,
            "position": entry.position,
            "feedback_id": entry.feedback_id,
            "subject_id": subjects[fingerprint],
            "reasons": list(entry.reasons),
            "raw": entry.raw,
            "created_at": created_at,
        }
        | (_WITHOUT_TEXT if entry.raw is not None and subjects[fingerprint] in erased else {})
        for fingerprint, entry in by_fingerprint.items()
        if fingerprint not in known
    ]
    if rows:
        connection.execute(quarantine.insert(), rows)
    return len(rows)


def move_beyond(connection: sa.Connection, tenant: str, feedback_id: str) -> int | None:
    """Give a record as it stands a new sequence, beyond every watermark; None where there is no such record.

    What was decided on a record changes what a build makes of it, as a later statement does. The caller holds the
    tenant's lock.
    """
    if connection.dialect.name == "postgresql":
        moved = connection.exec_driver_sql(
            "UPDATE feedback SET sequence = nextval(pg_get_serial_sequence('feedback', 'sequence')) "
            "WHERE tenant = %(tenant)s AND id = %(id)s RETURNING sequence",
            {"tenant": tenant, "id": feedback_id},
        ).scalar_one_or_none()
        return None if moved is None else int(moved)
    # An update would not count up what SQLite keeps of the sequences that were given.
    found = connection.exec_driver_sql(
        f"SELECT {', '.join(_COLUMNS)} FROM feedback WHERE tenant = ? AND id = ?",  # noqa: S608 - fixed names
        (tenant, feedback_id),
    ).one_or_none()
    if found is None:
        return None
    connection.execute(feedback.delete().where(feedback.c.tenant == tenant, feedback.c.id == feedback_id))
    return int(connection.exec_driver_sql(_INSERT, tuple(found)).lastrowid)


def claim_answers(
    connection: sa.Connection, tenant: str, claims: Mapping[str, str], used_at: datetime
) -> dict[str, str]:
    """Bind each answer id to a feedback id, once. Returns those that another feedback id had taken before."""
    query = sa.select(rating_tokens.c.answer_id, rating_tokens.c.feedback_id).where(
        rating_tokens.c.tenant == tenant, rating_tokens.c.answer_id.in_(claims)
    )
    known = dict(connection.execute(query).tuples().all())
    new = [
        {"tenant": tenant, "answer_id": answer, "feedback_id": feedback_id, "used_at": used_at}
        for answer, feedback_id in claims.items()
        if answer not in known
    ]
    if new:
        connection.execute(rating_tokens.insert(), new)
    return {answer: taken for answer, taken in known.items() if taken != claims[answer]}


def erased_at(connection: sa.Connection, tenant: str, subjects: set[str]) -> dict[str | None, datetime]:
    """Of those subjects that were erased. Most tenants never erased anybody, and pay one short look for it."""
    any_erased = sa.select(erasures.c.id).where(erasures.c.tenant == tenant).limit(1)
    if not subjects or connection.execute(any_erased).first() is None:
        return {}
    query = (
        sa.select(erasures.c.subject_id, sa.func.max(erasures.c.erased_at, type_=UtcDateTime()))
        .where(erasures.c.tenant == tenant, erasures.c.subject_id.in_(subjects))
        .group_by(erasures.c.subject_id)
    )
    return dict(connection.execute(query).tuples().all())


def _upsert(
    connection: sa.Connection, tenant: str, winners: Mapping[str, _Winner], received_at: datetime
) -> dict[str, Arrival]:
    ordered = list(winners.values())
    given = [winner.statement for winner in ordered]
    written = connection.exec_driver_sql(
        _UPSERT,
        {
            "tenant": tenant,
            "received_at": received_at,
            "ids": [item.record.id for item in given],
            "subjects": [winner.subject for winner in ordered],
            "types": [item.record.type.value for item in given],
            "times": [item.version.event_time for item in given],
            "revisions": [item.version.revision for item in given],
            "hashes": [item.version.content_hash for item in given],
            "records": [item.content for item in given],
        },
    )
    return {id_: Arrival.ADDED if is_new else Arrival.REPLACED for id_, is_new in written}


def _delete_and_insert(
    connection: sa.Connection, tenant: str, winners: Mapping[str, _Winner], received_at: datetime
) -> dict[str, Arrival]:
    """For SQLite, whose upsert would keep the old sequence. It has one writer, so nobody comes in between."""
    found = connection.exec_driver_sql(_KNOWN, (tenant, json.dumps(list(winners))))
    known = {id_: Version(datetime.fromisoformat(at).replace(tzinfo=UTC), *rest) for id_, at, *rest in found}
    arrivals = {
        id_: Arrival.REPLACED if id_ in known else Arrival.ADDED
        for id_, winner in winners.items()
        if id_ not in known or winner.statement.version > known[id_]
    }
    overwritten = arrivals.keys() & known.keys()
    if overwritten:
        connection.execute(
            feedback.delete().where(feedback.c.tenant == tenant, feedback.c.id.in_(overwritten))
        )
    if arrivals:
        received = _as_stored(received_at)
        connection.exec_driver_sql(_INSERT, [_row(tenant, winners[id_], received) for id_ in arrivals])
    return arrivals


def _row(tenant: str, winner: _Winner, received_at: str) -> tuple[Any, ...]:
    given = winner.statement
    at, revision, digest = given.version
    return (
        tenant, given.record.id, winner.subject, given.record.type.value, _as_stored(at), revision, received_at,
        digest, given.content,
    )  # fmt: skip


def _as_stored(at: datetime) -> str:
    """As SQLAlchemy writes a time in UTC to SQLite."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
