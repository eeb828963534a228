"""Submissions written to the store, many in one transaction: who waits for it waits for the disk once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.errors import ConflictError
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.submission import SOURCE, Submission
from gateway_tuning.feedback.versions import Statement
from gateway_tuning.feedback.writing import (
    Arrival,
    SubjectOf,
    claim_answers,
    erased_at,
    write_feedback,
    write_quarantine,
)
from gateway_tuning.storage.tables import idempotency_keys
from gateway_tuning.storage.tenants import lock_tenant


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one element. `id` is the record's, or the fingerprint under which it was set aside."""

    id: str
    state: str  # stored, quarantined, erased
    news: str  # added, replaced, duplicate; also of what was set aside
    reasons: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """The submissions of one tenant, flat: statements and entries with the place of their receipt."""

    statements: list[Statement] = field(default_factory=list)
    statement_places: list[tuple[int, int]] = field(default_factory=list)
    entries: list[QuarantineEntry] = field(default_factory=list)
    entry_places: list[tuple[int, int]] = field(default_factory=list)


def commit(
    store: FeedbackStore, submissions: Sequence[Submission], *, now: datetime
) -> list[list[Receipt] | ConflictError]:
    """Write all of it in one transaction; when this returns it is on disk. One answer a submission.

    ConflictError stands for a submission whose idempotency key was used for another body; nothing of it is kept.
    """
    with store.engine.connect() as connection:
        return commit_on(connection, store, submissions, now=now)


def commit_on(
    connection: sa.Connection, store: FeedbackStore, submissions: Sequence[Submission], *, now: datetime
) -> list[list[Receipt] | ConflictError]:
    """As `commit`, for a caller who keeps a connection."""
    tenants = sorted({submission.tenant for submission in submissions})
    subjects = {tenant: store.subject_of(tenant, now=now) for tenant in tenants}
    answers: list[list[Receipt] | ConflictError] = [[] for _ in submissions]
    with connection.begin():
        for tenant in tenants:
            lock_tenant(connection, tenant)
            work = _gather(connection, submissions, answers, tenant, now)
            _set_aside_reused_answers(connection, work, tenant, now, subjects[tenant])
            arrivals = write_feedback(connection, tenant, work.statements, now, subjects[tenant])
            for (place, at), given, arrival in zip(
                work.statement_places, work.statements, arrivals, strict=True
            ):
                _put(answers, place, at, _receipt(given, arrival))
            if work.entries:
                write_quarantine(connection, tenant, work.entries, now, subjects[tenant])
                for (place, at), entry in zip(work.entry_places, work.entries, strict=True):
                    id_ = entry.feedback_id or entry.fingerprint
                    _put(answers, place, at, Receipt(id_, "quarantined", "added", entry.reasons))
    return answers


def _gather(
    connection: sa.Connection,
    submissions: Sequence[Submission],
    answers: list[list[Receipt] | ConflictError],
    tenant: str,
    now: datetime,
) -> _Work:
    work = _Work()
    for place, submission in enumerate(submissions):
        if submission.tenant != tenant:
            continue
        if submission.key is not None and not _claim_key(connection, submission, now):
            answers[place] = ConflictError(
                "This Idempotency-Key was used for another body; use a new key for new feedback"
            )
            continue
        receipts = answers[place]
        for at, item in enumerate(submission.items):
            assert isinstance(receipts, list)  # noqa: S101 - set above
            receipts.append(Receipt("", "", ""))
            if isinstance(item, Statement):
                work.statements.append(item)
                work.statement_places.append((place, at))
            else:
                work.entries.append(item)
                work.entry_places.append((place, at))
    return work


def _claim_key(connection: sa.Connection, submission: Submission, now: datetime) -> bool:
    """The caller holds the tenant's lock, so nobody comes between the look and the insert."""
    mine = (
        idempotency_keys.c.tenant == submission.tenant,
        idempotency_keys.c.key_sha256 == submission.key,
    )
    known = connection.execute(sa.select(idempotency_keys.c.request_sha256).where(*mine)).scalar_one_or_none()
    if known is None:
        connection.execute(
            idempotency_keys.insert().values(
                tenant=submission.tenant,
                key_sha256=submission.key,
                request_sha256=submission.request_sha256,
                created_at=now,
            )
        )
        return True
    return bool(known == submission.request_sha256)


def _set_aside_reused_answers(
    connection: sa.Connection, work: _Work, tenant: str, now: datetime, subject_of: SubjectOf
) -> None:
    """A signed answer is rated under one feedback id: the first one that came. The erased claim nothing."""
    signed = [index for index, given in enumerate(work.statements) if given.record.rating_token is not None]
    subjects = {index: subject_of(work.statements[index].record.user_id) for index in signed}
    erased = erased_at(connection, tenant, {subject for subject in subjects.values() if subject is not None})
    claims: dict[str, str] = {}
    holders: dict[str, list[int]] = defaultdict(list)
    for index in signed:
        given, since = work.statements[index], erased.get(subjects[index])
        answer = given.record.answer_id
        if answer is not None and (since is None or given.version.event_time > since):
            claims.setdefault(answer, given.record.id)
            holders[answer].append(index)
    if not claims:
        return
    taken = claims | claim_answers(connection, tenant, claims, now)
    refused = {
        index for answer, found in holders.items() for index in found
        if work.statements[index].record.id != taken[answer]
    }  # fmt: skip
    for index in sorted(refused):
        given = work.statements[index]
        reason = "Rating token was used before, under another feedback id"
        work.entries.append(
            QuarantineEntry(
                tenant, "validation", SOURCE, f"element {work.statement_places[index][1]}", (reason,),
                given.content, given.record.id, given.record.user_id,
            )
        )  # fmt: skip
        work.entry_places.append(work.statement_places[index])
    kept = [index for index in range(len(work.statements)) if index not in refused]
    work.statements = [work.statements[index] for index in kept]
    work.statement_places = [work.statement_places[index] for index in kept]


def _receipt(given: Statement, arrival: Arrival) -> Receipt:
    if arrival is Arrival.ERASED:
        return Receipt(given.record.id, "erased", "duplicate", ("The person was erased after saying this",))
    return Receipt(given.record.id, "stored", arrival.value)


def _put(answers: list[list[Receipt] | ConflictError], place: int, at: int, receipt: Receipt) -> None:
    receipts = answers[place]
    assert isinstance(receipts, list)  # noqa: S101 - only those have places
    receipts[at] = receipt
