"""A canary's outcomes as the judge wants them: sums over the users of each arm, made in the store."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from gateway_tuning.rollout.canary import Freshness
from gateway_tuning.rollout.comparing import SLOW_SHARE
from gateway_tuning.rollout.judge import Statistics
from gateway_tuning.rollout.sequential import UserSums
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import outcomes

_SHORTEST_MS = 0.001  # a logarithm needs a latency above zero
_ARMS = ("canary", "control")

# Of each metric, the columns of a user: how many observations, and what they add up to.
_COLUMNS: dict[str, tuple[str, str]] = {
    "error_rate": ("requests", "errors"),
    "latency": ("requests", "log_latency"),
    "slow": ("requests", "slow"),
    "user_feedback": ("rated", "positive"),
    "token_count": ("counted", "log_tokens"),
    "relevance": ("scored", "relevance"),
    "feedback_rate": ("answered", "answered_and_rated"),
}


def arm_statistics(
    engine: sa.Engine, canary_id: str, *, failed_request_seconds: float
) -> tuple[Statistics, Freshness]:
    """Sums over the users of both arms, from one snapshot so that they belong together.

    A failed request enters the latency with at least `failed_request_seconds`: leaving it out would make a
    model that fails fast look quick. Its tokens and relevance are not known. A rating above 0 is positive; what a user
    or a scorer said of an answer that another version gave counts for nobody. Slow is what takes longer than
    `SLOW_SHARE` of the control's requests do.
    """
    failed_ms = failed_request_seconds * 1000.0
    with reading(engine) as connection:
        limit = _slow_limit(connection, canary_id, failed_ms)
        rows = connection.execute(_by_arm(_by_user(canary_id, failed_ms, limit)))
        arms = {str(row["arm"]): dict(row) for row in rows.mappings()}
    canary, control = arms.get("canary", {}), arms.get("control", {})
    statistics = Statistics(
        canary_users=int(canary.get("users", 0)),
        control_users=int(control.get("users", 0)),
        simulated_requests=int(canary.get("simulated", 0)) + int(control.get("simulated", 0)),
        sums={name: (_sums(canary, name), _sums(control, name)) for name in _COLUMNS},
    )
    return statistics, _freshness(canary, control)


def _latency(failed_ms: float) -> sa.ColumnElement[float]:
    table = outcomes.c
    return sa.case(
        (table.error.is_not(None) & (table.latency_ms < failed_ms), failed_ms),
        (table.latency_ms < _SHORTEST_MS, _SHORTEST_MS),
        else_=table.latency_ms,
    )


def _slow_limit(connection: sa.Connection, canary_id: str, failed_ms: float) -> float | None:
    of_control = (outcomes.c.canary_id == canary_id) & (outcomes.c.arm == "control")
    count = connection.execute(sa.select(sa.func.count()).where(of_control)).scalar_one()
    latency = _latency(failed_ms)
    nth = (
        sa.select(latency)
        .where(of_control)
        .order_by(latency)
        .offset(int((1.0 - SLOW_SHARE) * count))
        .limit(1)
    )
    return connection.execute(nth).scalar_one_or_none()


def _by_user(canary_id: str, failed_ms: float, slow_limit: float | None) -> sa.CTE:
    table, latency = outcomes.c, _latency(failed_ms)
    own = table.answered_by.is_(None)
    answered = table.error.is_(None) & own
    tokens = sa.case((table.completion_tokens < 1, 1), else_=table.completion_tokens)
    columns = {
        "requests": sa.func.count(),
        "errors": _times(table.error.is_not(None)),
        "log_latency": sa.func.sum(sa.func.ln(latency)),
        "slow": sa.literal(0) if slow_limit is None else _times(latency > slow_limit),
        "rated": _times(own & table.rating.is_not(None)),
        "positive": _times(own & (table.rating > 0)),
        "counted": _times(answered & table.completion_tokens.is_not(None)),
        "log_tokens": _sum_where(answered & table.completion_tokens.is_not(None), sa.func.ln(tokens)),
        "scored": _times(answered & table.relevance.is_not(None)),
        "relevance": _sum_where(answered & table.relevance.is_not(None), table.relevance),
        "answered": _times(answered),
        "answered_and_rated": _times(answered & table.rating.is_not(None)),
        "simulated": _times(table.simulated),
        "last": sa.func.max(table.at),
    }
    return (
        sa.select(table.arm, *(column.label(name) for name, column in columns.items()))
        .where(table.canary_id == canary_id, table.arm.in_(_ARMS))
        .group_by(table.arm, table.user_key)
        .cte("by_user")
    )


def _by_arm(users: sa.CTE) -> sa.Select[tuple[Any, ...]]:
    user = users.c
    silent_since = sa.select(sa.func.max(user.last)).where(user.arm == "canary").scalar_subquery()
    sums = [
        column.label(f"{name}_{kind}")
        for name, (n, t) in _COLUMNS.items()
        for kind, column in _moments(user[n], user[t]).items()
    ]
    return sa.select(
        user.arm,
        sa.func.count().label("users"),
        sa.func.sum(user.simulated).label("simulated"),
        sa.func.max(user.last).label("last"),
        _times(silent_since.is_(None) | (user.last > silent_since)).label("users_since"),
        *sums,
    ).group_by(user.arm)


def _moments(n: sa.ColumnElement[Any], t: sa.ColumnElement[Any]) -> dict[str, sa.ColumnElement[Any]]:
    total = sa.func.sum
    n, t = (
        sa.cast(n, sa.Double),
        sa.cast(t, sa.Double),
    )  # products of integers have their own types in every store
    return {
        "users": _times(n > 0),
        "n": total(n),
        "t": total(t),
        "nn": total(n * n),
        "nt": total(n * t),
        "tt": total(t * t),
    }


def _times(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


def _sum_where(condition: sa.ColumnElement[bool], value: sa.ColumnElement[Any]) -> sa.ColumnElement[float]:
    return sa.func.sum(sa.case((condition, value), else_=0.0))


def _sums(arm: Mapping[str, Any], name: str) -> UserSums:
    def figure(kind: Literal["users", "n", "t", "nn", "nt", "tt"]) -> float:
        return float(arm.get(f"{name}_{kind}", 0.0))

    return UserSums(int(figure("users")), figure("n"), figure("t"), figure("nn"), figure("nt"), figure("tt"))


def _freshness(canary: Mapping[str, Any], control: Mapping[str, Any]) -> Freshness:
    last: datetime | None = canary.get("last")
    return Freshness(
        canary=last, control=control.get("last"), control_users_since=int(control.get("users_since", 0))
    )
