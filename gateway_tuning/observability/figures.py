"""The state of the loop in figures, read from the store. Cheap: indexes, small tables and bounded counts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.notices.store import MOST_ATTEMPTS
from gateway_tuning.rollout.verification import UNVERIFIABLE
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import (
    approvals,
    canaries,
    canary_looks,
    cycles,
    drift_reports,
    erasures,
    feedback,
    notification_deliveries,
    quarantine,
    runs,
    tuning_jobs,
)
from gateway_tuning.training.cost.budgets import BudgetStore
from gateway_tuning.training.cost.reservations import ReservationStore, month_of
from gateway_tuning.training.job import JobStatus

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """`labels` in the order in which the figure names them."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """What is not known has no sample."""

    name: str
    told: str
    labels: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = field(default=())


def read_figures(engine: sa.Engine, thresholds: ThresholdStore, now: datetime) -> list[Figure]:
    with reading(engine) as connection:
        found = [
            *_feedback(connection, thresholds.tenants(), now),
            *_work(connection, now),
            *_canaries(connection, now),
            *_drift(connection),
            _undelivered(connection),
        ]
    return [*found, *_thresholds(thresholds, now), *_money(engine, now)]


def _feedback(connection: sa.Connection, tenants: list[str], now: datetime) -> Iterator[Figure]:
    counts: dict[str, int] = {}
    for tenant in tenants:
        query = (
            sa.select(feedback.c.type, sa.func.count())
            .where(feedback.c.tenant == tenant, feedback.c.event_time >= now - _DAY)
            .group_by(feedback.c.type)
        )
        for kind, figure in connection.execute(query):
            counts[kind] = counts.get(kind, 0) + figure
    yield _by("feedback_last_day", "Records of feedback given within the last 24 hours", "type", counts)
    newest = sa.select(feedback.c.received_at).order_by(feedback.c.sequence.desc()).limit(1)
    received = connection.execute(newest).scalar_one_or_none()
    yield one("feedback_received_timestamp_seconds", "When the newest record came in", _stamp(received))
    yield _by(
        *("quarantine_records", "Records that are set aside, by the stage that did it", "stage"),
        _grouped(connection, quarantine.c.stage),
    )


def _work(connection: sa.Connection, now: datetime) -> Iterator[Figure]:
    jobs = sa.select(tuning_jobs.c.provider, tuning_jobs.c.status, sa.func.count()).group_by(
        tuning_jobs.c.provider, tuning_jobs.c.status
    )
    counted = {(provider, state): figure for provider, state, figure in connection.execute(jobs)}
    # Of all states: what appears at 1 has not risen, as Prometheus sees it.
    states = [(provider, state.value) for provider in {one for one, _ in counted} for state in JobStatus]
    samples = tuple(Sample(labels, float(counted.get(labels, 0))) for labels in sorted(states))
    yield Figure("jobs", "Tuning jobs", ("provider", "state"), samples)
    stale = sa.select(sa.func.count()).where(
        tuning_jobs.c.status == "running", tuning_jobs.c.stale_since.is_not(None)
    )
    yield one("jobs_stale", "Running jobs of which nothing new was heard", connection.execute(stale).scalar())
    yield _by("runs", "Runs that were asked for, by state", "state", _grouped(connection, runs.c.status))
    yield _by("cycles", "Cycles, by state", "state", _grouped(connection, cycles.c.status))
    begun = sa.select(sa.func.min(cycles.c.created_at)).where(cycles.c.status == "running")
    yield one(
        *("cycle_age_seconds", "Since the oldest cycle that runs began"),
        _age(connection.execute(begun).scalar(), now),
    )
    waiting = sa.select(sa.func.count(), sa.func.min(approvals.c.created_at)).where(
        approvals.c.state == "pending"
    )
    figure, oldest = connection.execute(waiting).one()
    yield one("approvals_waiting", "Approvals that wait for a person", figure)
    yield one("approval_age_seconds", "Since the oldest of them was asked for", _age(oldest, now))
    left = sa.select(sa.func.count(), sa.func.min(erasures.c.erased_at)).where(
        erasures.c.state != "completed"
    )
    figure, oldest = connection.execute(left).one()
    yield one("erasures_open", "Erasures that are not completed", figure)
    yield one("erasure_age_seconds", "Since the oldest of them was asked for", _age(oldest, now))


def _canaries(connection: sa.Connection, now: datetime) -> Iterator[Figure]:
    looked = (
        sa.select(canary_looks.c.canary_id, sa.func.max(canary_looks.c.at).label("at"))
        .group_by(canary_looks.c.canary_id)
        .subquery()
    )
    query = (
        sa.select(canaries, looked.c.at.label("looked"))
        .outerjoin(looked, looked.c.canary_id == canaries.c.id)
        .where(canaries.c.state == "running")
    )
    running = list(connection.execute(query))
    yield _of("canary_share", "Share of users on a running canary", {row.model: row.share for row in running})
    yield _of("canary_stage", "Stage that it is in, from 0", {row.model: row.stage for row in running})
    yield _of(
        *("canary_look_age_seconds", "Since it was looked at, or began"),
        {row.model: (now - (row.looked or row.started_at)).total_seconds() for row in running},
    )
    unverified = sa.select(canaries.c.model, sa.func.count()).where(
        canaries.c.state != "running",
        canaries.c.verified_at.is_(None),
        canaries.c.verification.is_not(None),
        canaries.c.verification != UNVERIFIABLE,
    )
    ended = _counts(connection, unverified.group_by(canaries.c.model))
    yield _of("canary_ends_unverified", "Ends of canaries that have not arrived at every gateway", ended)
    outcomes = (
        sa.select(canaries.c.state, sa.func.count())
        .where(canaries.c.finished_at.is_not(None))
        .group_by(canaries.c.state)
    )
    yield _by("canaries_ended", "Canaries that have ended, by how", "state", _counts(connection, outcomes))


def _drift(connection: sa.Connection) -> Iterator[Figure]:
    """Of each model's newest live check. One that could not decide or be made has no finding."""
    newest = (
        sa.select(drift_reports.c.model, sa.func.max(drift_reports.c.created_at).label("at"))
        .where(drift_reports.c.kind == "live", drift_reports.c.model.is_not(None))
        .group_by(drift_reports.c.model)
        .subquery()
    )
    query = sa.select(drift_reports).join(
        newest,
        sa.and_(newest.c.model == drift_reports.c.model, newest.c.at == drift_reports.c.created_at),
    )
    found, scores, times = {}, {}, {}
    for row in connection.execute(query):
        times[row.model] = row.created_at.timestamp()
        state, score = row.result.get("state"), row.result.get("score")
        if state in {"drift", "no_drift"}:
            found[row.model] = float(state == "drift")
        if isinstance(score, int | float):
            scores[row.model] = float(score)
    yield _of("drift_found", "1 where what users ask has changed, 0 where it has not", found)
    yield _of("drift_score", "Score of the last check", scores)
    yield _of("drift_checked_timestamp_seconds", "When it was made", times)


def _undelivered(connection: sa.Connection) -> Figure:
    given_up = sa.case((notification_deliveries.c.attempts >= MOST_ATTEMPTS, "given_up"), else_="waiting")
    query = (
        sa.select(notification_deliveries.c.channel, given_up.label("state"), sa.func.count())
        .where(notification_deliveries.c.sent_at.is_(None))
        .group_by(notification_deliveries.c.channel, given_up)
    )
    samples = tuple(
        Sample((channel, state), float(count)) for channel, state, count in connection.execute(query)
    )
    return Figure(
        "notices_undelivered", "Notices that a channel has not taken", ("channel", "state"), samples
    )


def _thresholds(thresholds: ThresholdStore, now: datetime) -> Iterator[Figure]:
    counted, needed = {}, {}
    for tenant in thresholds.tenants():
        for progress in thresholds.progress(tenant, now):
            counted[progress.threshold.model] = float(progress.counted)
            needed[progress.threshold.model] = float(progress.threshold.count)
    yield _of("threshold_counted", "New feedback since a model's last cycle, up to its threshold", counted)
    yield _of("threshold_needed", "New feedback that starts its next cycle", needed)


def _money(engine: sa.Engine, now: datetime) -> Iterator[Figure]:
    """By tenant, for whom budgets are."""
    reservations, month = ReservationStore(engine), month_of(now)
    spent: list[Sample] = []
    limits: list[Sample] = []
    unknown: list[Sample] = []
    for tenant, budget in BudgetStore(engine).all().items():
        spending = reservations.spending(tenant, month)
        amounts = {budget.currency: Decimal(0), **spending.amounts}
        spent += [Sample((tenant, currency), float(amount)) for currency, amount in amounts.items()]
        unknown.append(Sample((tenant,), float(len(spending.unknown))))
        if budget.per_month is not None:
            limits.append(Sample((tenant, budget.currency), float(budget.per_month)))
    labels = ("tenant", "currency")
    yield Figure(
        "month_spent", "Spent or set aside this month, of tenants with a budget", labels, tuple(spent)
    )
    yield Figure("month_budget", "What they may spend in a month", labels, tuple(limits))
    yield Figure(
        "month_jobs_of_unknown_cost", "Their jobs whose cost is not known", ("tenant",), tuple(unknown)
    )


def _grouped(connection: sa.Connection, what: "sa.Column[str]") -> dict[str, int]:
    return _counts(connection, sa.select(what, sa.func.count()).group_by(what))


def _counts(connection: sa.Connection, query: "sa.Select[tuple[str, int]]") -> dict[str, int]:
    return dict(connection.execute(query).tuples().all())


def one(name: str, told: str, value: float | None) -> Figure:
    return Figure(name, told, (), () if value is None else (Sample((), float(value)),))


def _by(name: str, told: str, label: str, values: "dict[str, int] | dict[str, float]") -> Figure:
    return Figure(name, told, (label,), tuple(Sample((key,), float(value)) for key, value in values.items()))


def _of(name: str, told: str, values: "dict[str, int] | dict[str, float]") -> Figure:
    return _by(name, told, "model", values)


def _stamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _age(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else (now - since).total_seconds()
