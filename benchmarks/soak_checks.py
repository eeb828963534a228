"""What is left at the end, held against what everybody was told: the store, the provider and Prefect are asked."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from benchmarks.soak_stack import Life, Sample, call
from benchmarks.soak_users import Ledger
from gateway_tuning.storage.database import connect_database, reading
from gateway_tuning.storage.tables import (
    alias_history,
    canaries,
    cycle_stages,
    cycles,
    feedback,
    model_versions,
    outcomes,
    quarantine,
    tuning_jobs,
)

STORED, SET_ASIDE = "stored", "quarantined"
PAGE = 200
FIRST_QUARTER = 4


@dataclass(frozen=True, slots=True)
class Check:
    """`named` are the things that speak against it; the check holds when there is none."""

    what: str
    counted: int
    named: tuple[str, ...] = ()
    remark: str = ""

    @property
    def holds(self) -> bool:
        return not self.named


@dataclass(slots=True)
class Found:
    checks: list[Check] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def look(database_url: str, ledger: Ledger, *, provider: str, provider_key: str, prefect: str) -> Found:
    """Everything that the store, the provider and Prefect can be asked for."""
    found = Found()
    engine = connect_database(database_url)
    try:
        with reading(engine) as connection:
            found.checks += _feedback(connection, ledger)
            found.checks += _outcomes(connection, ledger)
            found.checks += _promotions(connection)
            found.checks += _cycles(connection)
            found.checks += _jobs(connection, provider, provider_key)
            found.tables = _tables(connection)
    finally:
        engine.dispose()
    check, found.tables["runs"] = _runs(prefect)
    found.checks.append(check)
    return found


def _feedback(connection: sa.Connection, ledger: Ledger) -> Iterable[Check]:
    stored = Counter(connection.execute(sa.select(feedback.c.id)).scalars())
    aside = set(
        connection.execute(
            sa.select(quarantine.c.feedback_id).where(quarantine.c.feedback_id.is_not(None))
        ).scalars()
    )
    told = Counter(ledger.acknowledged.values())
    lost = [
        id_
        for id_, state in ledger.acknowledged.items()
        if id_ not in (stored if state == STORED else aside | stored.keys())
    ]
    remark = ", ".join(f"{count} {state}" for state, count in told.items())
    yield Check(
        "feedback that was acknowledged is in the store", len(ledger.acknowledged), _few(lost), remark
    )
    doubles = [id_ for id_, count in stored.items() if count > 1]
    yield Check("feedback stands there once", sum(stored.values()), _few(doubles))
    yield Check(
        "everybody who gave feedback got a receipt", len(ledger.acknowledged), _few(ledger.unacknowledged)
    )


def _outcomes(connection: sa.Connection, ledger: Ledger) -> Iterable[Check]:
    rows = connection.execute(
        sa.select(outcomes.c.answer_id, outcomes.c.version_id, outcomes.c.rating, outcomes.c.answered_by)
    ).all()
    kept = {row.answer_id: row for row in rows}
    missing = [id_ for id_ in ledger.answers if id_ not in kept]
    yield Check(
        "answers that users got are counted",
        len(ledger.answers),
        (),
        f"{len(missing)} not: a gateway that is killed loses the outcomes of its last fifth of a second"
        if missing
        else "",
    )
    wrong = [
        id_
        for id_, version in ledger.answers.items()
        if id_ in kept and version not in {kept[id_].version_id, kept[id_].answered_by}
    ]
    yield Check("they are counted for the version that gave them", len(ledger.answers), _few(wrong))
    unrated = [id_ for id_, score in ledger.rated.items() if id_ in kept and kept[id_].rating != score]
    unrated += [id_ for id_ in ledger.rated if id_ not in kept]
    yield Check("ratings that were taken are kept", len(ledger.rated), _few(unrated))
    arms = connection.execute(
        sa.select(outcomes.c.canary_id, outcomes.c.user_key)
        .where(outcomes.c.canary_id.is_not(None), outcomes.c.arm.in_(("canary", "control")))
        .group_by(outcomes.c.canary_id, outcomes.c.user_key)
        .having(sa.func.count(sa.distinct(outcomes.c.arm)) > 1)
    ).all()
    users = connection.execute(
        sa.select(sa.func.count(sa.distinct(outcomes.c.user_key))).where(outcomes.c.canary_id.is_not(None))
    ).scalar_one()
    split = [f"{row.user_key[:8]} in {row.canary_id}" for row in arms]
    yield Check("no user was on both sides of a canary", users, _few(split))


def _promotions(connection: sa.Connection) -> Iterable[Check]:
    moves = connection.execute(
        sa.select(alias_history).where(alias_history.c.alias == "stable").order_by(alias_history.c.sequence)
    ).all()
    ended = connection.execute(sa.select(canaries)).all()
    promoted = [row for row in ended if row.state == "promoted"]
    by_version = Counter(row.version_id for row in moves)
    wrong = [
        f"{row.candidate}: {by_version[row.candidate]}" for row in promoted if by_version[row.candidate] != 1
    ]
    yield Check("a promoted canary moved `stable` once", len(promoted), _few(wrong))
    others = [row.candidate for row in ended if row.state != "promoted" and by_version[row.candidate]]
    others = [version for version in others if version not in {row.candidate for row in promoted}]
    yield Check("no other canary moved it", len(ended) - len(promoted), _few(others))
    unsure = [
        f"{row.id} ({row.verification})"
        for row in ended
        if row.state != "running" and row.verified_at is None
    ]
    yield Check("the gateways confirmed every end of a canary", len(ended), _few(unsure))


def _cycles(connection: sa.Connection) -> Iterable[Check]:
    open_ones = connection.execute(sa.select(cycles).where(cycles.c.status != "finished")).all()
    everyone = connection.execute(sa.select(sa.func.count()).select_from(cycles)).scalar_one()
    yield Check("cycles came to an end", everyone, _few(f"{row.id} is {row.status}" for row in open_ones))


def _jobs(connection: sa.Connection, provider: str, key: str) -> Iterable[Check]:
    rows = connection.execute(sa.select(tuning_jobs)).all()
    there: Counter[str] = Counter()
    after = ""
    while True:
        page = call(f"{provider}/fine_tuning/jobs?limit={PAGE}{after}", key=key)
        there.update(
            key for job in page["data"] for key in [(job.get("metadata") or {}).values()] for key in key
        )
        if not page.get("has_more"):
            break
        after = f"&after={page['data'][-1]['id']}"
    twice = [row.key[:12] for row in rows if there[row.key] > 1]
    yield Check("the provider trained every job once", len(rows), _few(twice))
    undecided = [f"{row.key[:12]} is {row.status}" for row in rows if row.status in {"queued", "running"}]
    yield Check("jobs came to an end", len(rows), _few(undecided))
    versions = connection.execute(sa.select(model_versions.c.job_key)).scalars()
    doubled = [one for one, count in Counter(versions).items() if one is not None and count > 1]
    yield Check("a job gave one version", len(rows), _few(doubled))


def _runs(prefect: str) -> tuple[Check, list[dict[str, Any]]]:
    """Flow runs by name and state; one that still counts as running although nothing runs any more is named."""
    names = {one["id"]: one["name"] for one in call(f"{prefect}/deployments/filter", {})}
    counted: Counter[tuple[str, str]] = Counter()
    stuck, offset = [], 0
    while True:
        page = call(f"{prefect}/flow_runs/filter", {"limit": PAGE, "offset": offset})
        for run in page:
            state = run["state_type"] or "none"
            if run["parent_task_run_id"] is None and state not in {"SCHEDULED", "PENDING"}:
                counted[names.get(run["deployment_id"], "?"), state] += 1
                if state in {"RUNNING", "CANCELLING"}:
                    stuck.append(
                        f"{run['name']} of {names.get(run['deployment_id'])} since {run['start_time']}"
                    )
        if len(page) < PAGE:
            break
        offset += PAGE
    rows = [{"flow": name, "state": state, "runs": runs} for (name, state), runs in sorted(counted.items())]
    return Check("no run is left that nobody carries", sum(counted.values()), _few(stuck)), rows


def _tables(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
    """For people: what came of the week."""

    def rows(query: sa.Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(query).mappings()]

    return {
        "cycles": rows(
            sa.select(
                *(cycles.c[name] for name in ("id", "status", "outcome", "started_by", "incumbent")),
                *(cycles.c[name] for name in ("reasons", "created_at", "finished_at")),
            ).order_by(cycles.c.created_at)
        ),
        "stages": rows(
            sa.select(
                *(cycle_stages.c[name] for name in ("cycle_id", "stage", "object_id", "seconds"))
            ).order_by(cycle_stages.c.finished_at)
        ),
        "canaries": rows(
            sa.select(
                *(canaries.c[name] for name in ("id", "candidate", "control", "state", "looks", "reasons")),
                *(canaries.c[name] for name in ("started_at", "finished_at", "verified_at")),
            ).order_by(canaries.c.started_at)
        ),
        "jobs": rows(
            sa.select(
                *(tuning_jobs.c[name] for name in ("key", "status", "message", "created_at", "updated_at"))
            )
        ),
        "stable": rows(
            sa.select(*(alias_history.c[name] for name in ("version_id", "reason", "actor", "at")))
            .where(alias_history.c.alias == "stable")
            .order_by(alias_history.c.sequence)
        ),
    }


def lives(of: Iterable[Life]) -> dict[str, dict[str, Any]]:
    """By part: how often it was started again, and how long that took at the median and at most."""
    found: dict[str, dict[str, Any]] = {}
    for life in of:
        row = found.setdefault(life.part, {"starts": 0, "killed_or_crashed": 0, "seconds_to_health": []})
        row["starts"] += 1
        row["killed_or_crashed"] += life.ended is not None and not life.wanted
        if life.healthy is not None:
            row["seconds_to_health"].append(round(life.healthy - life.started, 1))
    return found


def memory(samples: Mapping[str, list[Sample]], lives: Sequence[Life]) -> dict[str, dict[str, float | None]]:
    """MiB: the peak, and the slope an hour of the process itself, by least squares after its first quarter.

    Of a part that was started again, the process that lived longest; None for fewer than 20 samples.
    """
    return {
        part: {
            "peak": round(max((one.own for one in seen), default=0.0), 1),
            "peak_with_children": round(max((one.tree for one in seen), default=0.0), 1),
            "slope_an_hour": _slope(_longest([life for life in lives if life.part == part], seen)),
        }
        for part, seen in samples.items()
    }


def _longest(lives: Sequence[Life], seen: Sequence[Sample]) -> list[Sample]:
    of_lives = [[one for one in seen if life.started <= one.at < (life.ended or math.inf)] for life in lives]
    return max(of_lives, key=len, default=[])


def _slope(seen: list[Sample]) -> float | None:
    settled = seen[len(seen) // FIRST_QUARTER :]
    if len(settled) < 20:  # noqa: PLR2004 - said above
        return None
    mean_at = sum(one.at for one in settled) / len(settled)
    mean = sum(one.own for one in settled) / len(settled)
    spread = sum((one.at - mean_at) ** 2 for one in settled)
    return round(3600 * sum((one.at - mean_at) * (one.own - mean) for one in settled) / spread, 1)


def _few(named: Iterable[str], most: int = 20) -> tuple[str, ...]:
    every = sorted(named)
    return tuple(every[:most]) + ((f"and {len(every) - most} more",) if len(every) > most else ())
