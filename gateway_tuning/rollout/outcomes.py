"""What happened to each request. `arm_statistics` sums it for the judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway_tuning.errors import NotFoundError
from gateway_tuning.rollout.assignment import Arm
from gateway_tuning.rollout.outcome_rows import insert_new
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import outcomes


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request to the gateway. `error` is a short code, None for an answer. `rating` is in [-1, 1].

    `prompt_chars` is of what the user asked last, `answer_chars` and `refused` of the answer's first choice; None where
    there was no text, as in a call of tools. No text is kept. `answered_by` is the version that helped out where this
    one failed: its answer is what the user saw, so a rating of it says nothing of this arm. `relevance` is in [0, 1].
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
    relevance: float | None = None
    first_token_ms: float | None = None
    answered_by: str | None = None
    key_id: str | None = None


class OutcomeStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def write(self, batch: Sequence[Outcome]) -> None:
        """Insert a batch; an answer that is stored already stays as it is, so a batch may be written again."""
        if not batch:
            return
        with self._engine.begin() as connection:
            insert_new(connection, batch)

    def rate(self, answer_id: str, score: float) -> None:
        """Record a user's rating in [-1, 1]; the last one counts. Raises NotFoundError."""
        if not -1.0 <= score <= 1.0:
            raise ValueError(f"the rating {score} of answer {answer_id} must lie between -1 and 1")
        statement = sa.update(outcomes).where(outcomes.c.answer_id == answer_id).values(rating=score)
        with self._engine.begin() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError(f"No answer {answer_id}: send the id of the header x-gateway-answer-id")

    def note_relevance(self, values: Mapping[str, float]) -> set[str]:
        """Write relevance in [0, 1] by answer id. Returns the ids that have no outcome, which may be on its way."""
        for answer_id, value in values.items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"the relevance {value} of answer {answer_id} must lie between 0 and 1")
        if not values:
            return set()
        known = sa.select(outcomes.c.answer_id).where(outcomes.c.answer_id.in_(values))
        statement = (
            sa.update(outcomes)
            .where(outcomes.c.answer_id == sa.bindparam("answer"))
            .values(relevance=sa.bindparam("value"))
        )
        with self._engine.begin() as connection:
            found = set(connection.execute(known).scalars())
            if found:
                rows = [{"answer": answer_id, "value": values[answer_id]} for answer_id in sorted(found)]
                connection.execute(statement, rows)
        return values.keys() - found

    def count(self, canary_id: str) -> dict[str, int]:
        """Requests by arm."""
        query = (
            sa.select(outcomes.c.arm, sa.func.count())
            .where(outcomes.c.canary_id == canary_id)
            .group_by(outcomes.c.arm)
        )
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}
