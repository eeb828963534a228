"""What happened to each request, and its sums by user for the judge."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.assignment import Arm
from gateway_tuning.rollout.canary import Freshness
from gateway_tuning.rollout.judge import Statistics
from gateway_tuning.rollout.sequential import UserSums
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import outcomes

_SHORTEST_MS = 0.001  # a logarithm needs a latency above zero


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request to the gateway. `error` is a short code, None for an answer. `rating` is in [-1, 1].

    `prompt_chars` is of what the user asked last, `answer_chars` and `refused` of the answer's first choice; None where
    there was no text, as in a call of tools. No text is kept.
    """

    answer_id: str
    model: str
    canary_id: str | None
    arm: Arm
    version_id: str
    user_key: str
    at: datetime
    latency_ms: float
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_chars: int | None = None
    answer_chars: int | None = None
    refused: bool | None = None
    rating: float | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class _User:
    arm: str
    requests: int
    errors: int
    log_latency: float
    rated: int
    positive: int
    simulated: int
    last: datetime


class OutcomeStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def write(self, batch: Sequence[Outcome]) -> None:
        """Insert a batch; an answer that is stored already stays as it is, so a batch may be written again."""
        if not batch:
            return
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(outcomes).on_conflict_do_nothing(index_elements=["answer_id"])
        with self._engine.begin() as connection:
            connection.execute(statement, [asdict(outcome) for outcome in batch])

    def rate(self, answer_id: str, score: float) -> None:
        """Record a user's rating in [-1, 1]; the last one counts. Raises NotFoundError."""
        if not -1.0 <= score <= 1.0:
            raise ValueError(f"the rating {score} of answer {answer_id} must lie between -1 and 1")
        statement = sa.update(outcomes).where(outcomes.c.answer_id == answer_id).values(rating=score)
        with self._engine.begin() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError(f"No answer {answer_id}: send the id of the header x-gateway-answer-id")

    def count(self, canary_id: str) -> dict[str, int]:
        """Requests by arm."""
        query = (
            sa.select(outcomes.c.arm, sa.func.count())
            .where(outcomes.c.canary_id == canary_id)
            .group_by(outcomes.c.arm)
        )
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def arm_statistics(
        self, canary_id: str, *, failed_request_seconds: float
    ) -> tuple[Statistics, Freshness]:
        """Sums by user in both arms, from one query so that they belong together.

        A failed request enters the latency with at least `failed_request_seconds`: leaving it out would make a
        model that fails fast look quick. A rating above 0 is positive.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(_by_user(canary_id, failed_request_seconds * 1000.0))
            users = [_User(*row) for row in rows]
        canary = [user for user in users if user.arm == "canary"]
        control = [user for user in users if user.arm == "control"]
        statistics = Statistics(
            canary_users=len(canary),
            control_users=len(control),
            simulated_requests=sum(user.simulated for user in users),
            sums={
                "error_rate": (_errors(canary), _errors(control)),
                "latency": (_latencies(canary), _latencies(control)),
                "user_feedback": (_ratings(canary), _ratings(control)),
            },
        )
        return statistics, _freshness(canary, control)


def _by_user(canary_id: str, failed_ms: float) -> sa.Select[tuple[object, ...]]:
    table = outcomes.c
    latency = sa.case(
        (table.error.is_not(None) & (table.latency_ms < failed_ms), failed_ms),
        (table.latency_ms < _SHORTEST_MS, _SHORTEST_MS),
        else_=table.latency_ms,
    )
    return (
        sa.select(
            table.arm,
            sa.func.count(),
            _times(table.error.is_not(None)),
            sa.func.sum(sa.func.ln(latency)),
            _times(table.rating.is_not(None)),
            _times(table.rating > 0),
            _times(table.simulated),
            sa.func.max(table.at),
        )
        .where(table.canary_id == canary_id, table.arm.in_(("canary", "control")))
        .group_by(table.arm, table.user_key)
    )


def _times(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


def _errors(users: list[_User]) -> UserSums:
    return _sums((user.requests, user.errors) for user in users)


def _latencies(users: list[_User]) -> UserSums:
    return _sums((user.requests, user.log_latency) for user in users)


def _ratings(users: list[_User]) -> UserSums:
    return _sums((user.rated, user.positive) for user in users if user.rated)


def _sums(pairs: Iterable[tuple[float, float]]) -> UserSums:
    table = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)
    return UserSums(table[:, 0], table[:, 1])


def _freshness(canary: list[_User], control: list[_User]) -> Freshness:
    last = max((user.last for user in canary), default=None)
    return Freshness(
        canary=last,
        control=max((user.last for user in control), default=None),
        control_users_since=sum(1 for user in control if last is None or user.last > last),
    )
