"""The first step of an erasure: one transaction that sets the tombstone and removes the person's rows.

It alone knows the user id, and keeps it nowhere. Everything later goes by the subject id.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway_tuning.access.audit import AuditEvent, AuditLog
from gateway_tuning.erasure.mentions import names_user
from gateway_tuning.erasure.store import Erasure, ErasureState, erasure
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.feedback.subjects import feedback_key, subject_id
from gateway_tuning.rollout.assignment import named, user_key
from gateway_tuning.storage.tables import (
    UtcDateTime,
    canaries,
    dataset_feedback,
    datasets,
    enrichments,
    erased_feedback,
    erasures,
    feedback,
    models,
    outcomes,
    quarantine,
    quarantine_reviews,
    rating_tokens,
    shadow_pairs,
    shadows,
)
from gateway_tuning.storage.tenants import lock_tenant, subject_key

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class _Person:
    tenant: str
    user_id: str
    subject_id: str


def begin(engine: sa.Engine, tenant: str, user_id: str, *, requested_by: str, now: datetime) -> Erasure:
    """Remove the person's rows and refuse what they said so far from now on.

    An erasure that is still open is returned where nothing came in since; new data makes a new one.

    Raises:
        ConfigurationError: the id is blank, and would name everybody.
    """
    if not user_id.strip():
        raise ConfigurationError("A blank user id names nobody; give the id that the feedback was sent with")
    key = subject_key(engine, tenant, now=now)
    person = _Person(tenant, user_id, subject_id(key, user_id))
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete=ON")  # freed pages are overwritten
        lock_tenant(connection, tenant)  # no record and no dataset comes in between
        last_said = _last_said(connection, person)
        counts, erased_ids = _remove_rows(connection, person)
        known = _open(connection, person)
        if known is not None and not any(counts.values()):
            return known
        identity = f"erasure-{secrets.token_hex(8)}"
        connection.execute(
            erasures.insert().values(
                id=identity,
                tenant=tenant,
                subject_id=person.subject_id,
                requested_by=requested_by,
                state=ErasureState.REQUESTED.value,
                erased_at=max([now, *last_said]),
                counts=counts,
            )
        )
        _keep_names(connection, tenant, identity, {feedback_key(key, id_) for id_ in erased_ids})
        row = connection.execute(sa.select(erasures).where(erasures.c.id == identity)).one()
        event = AuditEvent(tenant, requested_by, "erasure.begin", identity, detail={"rows": counts})
        AuditLog(engine).append_in(connection, event, now=now)
        return erasure(row)


def _open(connection: sa.Connection, person: _Person) -> Erasure | None:
    query = (
        sa.select(erasures)
        .where(erasures.c.tenant == person.tenant, erasures.c.subject_id == person.subject_id)
        .where(erasures.c.state != ErasureState.COMPLETED.value)
        .order_by(erasures.c.erased_at.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else erasure(row)


def _last_said(connection: sa.Connection, person: _Person) -> list[datetime]:
    """Times that the tombstone must not lie before: clocks differ, and records may come from the future."""
    queries = [
        sa.select(sa.func.max(feedback.c.event_time, type_=UtcDateTime())).where(
            feedback.c.tenant == person.tenant, feedback.c.subject_id == person.subject_id
        ),
        sa.select(sa.func.max(datasets.c.created_at, type_=UtcDateTime())).where(
            datasets.c.tenant == person.tenant
        ),
        sa.select(sa.func.max(erasures.c.erased_at, type_=UtcDateTime())).where(
            erasures.c.tenant == person.tenant
        ),
    ]
    times = [connection.execute(query).scalar_one() for query in queries]
    return [time for time in times if time is not None]


def _remove_rows(connection: sa.Connection, person: _Person) -> tuple[dict[str, int], set[str]]:
    """Rows removed by table, and every name under which a receipt may ask for one of them."""
    tenant = person.tenant
    said = sa.select(feedback.c.id, feedback.c.record["answer_id"].as_string()).where(
        feedback.c.tenant == tenant, feedback.c.subject_id == person.subject_id
    )
    rows = connection.execute(said).all()
    ids = {row[0] for row in rows}
    answers = {row[1] for row in rows if row[1]}
    aside = _quarantined(connection, person, ids)
    ids |= {row.feedback_id for row in aside if row.subject_id == person.subject_id and row.feedback_id}
    for part in _parts(ids):
        rated = sa.select(rating_tokens.c.answer_id).where(
            rating_tokens.c.tenant == tenant, rating_tokens.c.feedback_id.in_(part)
        )
        answers |= set(connection.execute(rated).scalars())

    def delete(table: sa.Table, column: sa.Column[Any], values: Iterable[Any], *also: Any) -> int:
        return sum(
            connection.execute(table.delete().where(column.in_(part), *also)).rowcount
            for part in _parts(values)
        )

    of_tenant = outcomes.c.model.in_(sa.select(models.c.name).where(models.c.tenant == tenant))
    of_shadows = shadow_pairs.c.shadow_id.in_(sa.select(shadows.c.id).where(shadows.c.tenant == tenant))
    counts = {
        "feedback": connection.execute(
            feedback.delete().where(feedback.c.tenant == tenant, feedback.c.subject_id == person.subject_id)
        ).rowcount,
        "quarantine": delete(quarantine, quarantine.c.sequence, [row.sequence for row in aside]),
        "quarantine_reviews": delete(
            quarantine_reviews,
            quarantine_reviews.c.fingerprint,
            [row.fingerprint for row in aside],
            quarantine_reviews.c.tenant == tenant,
        ),
        "enrichments": delete(enrichments, enrichments.c.feedback_id, ids, enrichments.c.tenant == tenant),
        "rating_tokens": delete(
            rating_tokens, rating_tokens.c.feedback_id, ids, rating_tokens.c.tenant == tenant
        ),
        "outcomes": delete(outcomes, outcomes.c.answer_id, answers, of_tenant)
        + delete(outcomes, outcomes.c.user_key, _user_keys(connection, canaries, person), of_tenant),
        "shadow_pairs": delete(shadow_pairs, shadow_pairs.c.answer_id, answers, of_shadows)
        + delete(shadow_pairs, shadow_pairs.c.user_key, _user_keys(connection, shadows, person), of_shadows),
    }
    in_datasets = sa.select(dataset_feedback.c.feedback_id).where(
        dataset_feedback.c.tenant == tenant, dataset_feedback.c.subject_id == person.subject_id
    )
    ids |= set(connection.execute(in_datasets).scalars())
    return counts, ids | {row.fingerprint for row in aside}


def _quarantined(connection: sa.Connection, person: _Person, ids: set[str]) -> list[Any]:
    """Rows of the person: by the user, by the record, or because their raw text names the user.

    Broken rows name no user that could be read. Each is looked at, a few at a time, and one that only quotes the
    id goes too: see `mentions`.
    """
    found: list[Any] = []
    last = 0
    while True:
        query = (
            sa.select(quarantine)
            .where(quarantine.c.tenant == person.tenant, quarantine.c.sequence > last)
            .order_by(quarantine.c.sequence)
            .limit(_AT_A_TIME)
        )
        rows: Sequence[Any] = connection.execute(query).all()
        if not rows:
            return found
        last = rows[-1].sequence
        found += [
            row
            for row in rows
            if row.subject_id == person.subject_id
            or (row.feedback_id is not None and row.feedback_id in ids)
            or any(names_user(text, person.user_id) for text in (row.raw, row.position, *row.reasons) if text)
        ]


def _user_keys(connection: sa.Connection, table: sa.Table, person: _Person) -> list[str]:
    """What the person is called in the outcomes of each canary, the pairs of each shadow. Else nobody can tell."""
    salts = connection.execute(sa.select(table.c.salt).where(table.c.tenant == person.tenant))
    return [user_key(salt, named(person.user_id)) for salt in salts.scalars()]


def _keep_names(connection: sa.Connection, tenant: str, erasure_id: str, names: set[str]) -> None:
    """The latest erasure has the name: the id may have been used again since the one before."""
    for part in _parts(names):
        mine = (erased_feedback.c.tenant == tenant, erased_feedback.c.feedback_key.in_(part))
        connection.execute(erased_feedback.delete().where(*mine))
        connection.execute(
            erased_feedback.insert(),
            [{"tenant": tenant, "feedback_key": name, "erasure_id": erasure_id} for name in part],
        )


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_A_TIME):
        yield ordered[start : start + _AT_A_TIME]
