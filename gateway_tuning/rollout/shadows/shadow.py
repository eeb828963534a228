"""What a shadow is, and what it may spend. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from gateway_tuning.rollout.assignment import bucket, user_key

State = Literal["running", "finished", "over_budget", "stopped"]

_MILLION = 1_000_000
LONGEST_ANSWER = 4_096  # tokens that are set aside where a request does not bound its answer


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Of a million tokens read and written."""

    read: Decimal
    written: Decimal
    currency: str

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        return (self.read * prompt_tokens + self.written * completion_tokens) / _MILLION

    def bound(self, prompt_bytes: int, longest_answer: int | None) -> Decimal:
        """The most that a request costs: no tokenizer makes more tokens than bytes."""
        return self.cost(prompt_bytes, LONGEST_ANSWER if longest_answer is None else longest_answer)


@dataclass(frozen=True, slots=True)
class Shadow:
    """`share` of the requests that `control` answers are asked of `candidate`, up to `max_requests` and `budget`.

    `prices` are those of its beginning; without them nobody knows the cost, and `budget`, `spent` and `held` are None.
    `held` is what requests under way may cost at most.
    """

    id: str
    tenant: str
    model: str
    candidate: str
    control: str
    share: float
    max_requests: int
    salt: str
    started_by: str
    started_at: datetime
    ends_at: datetime
    prices: TokenPrices | None = None
    budget: Decimal | None = None
    spent: Decimal | None = None
    held: Decimal | None = None
    requests: int = 0
    state: State = "running"
    reasons: tuple[str, ...] = ()
    finished_at: datetime | None = None

    def samples(self, answer_id: str) -> bool:
        """By request and not by user: nobody meets the candidate, and more users say more than more of each."""
        return bucket(self.salt, self.id, answer_id) < self.share

    def user_key(self, user: str | None, answer_id: str) -> str:
        """The same at every gateway, so that a user's pairs count as one user's. Anonymous ones are their own users."""
        return user_key(self.salt, user or answer_id)


@dataclass(frozen=True, slots=True)
class Pair:
    """Scores by metric of both answers to one request; what compares the two stands with the candidate's.

    `candidate_ms` is None where the candidate was not reached. `cost` is None where it is not known.
    """

    shadow_id: str
    answer_id: str
    user_key: str
    at: datetime
    control_scores: Mapping[str, float | None]
    candidate_scores: Mapping[str, float | None]
    control_ms: float
    candidate_ms: float | None
    candidate_error: str | None
    cost: Decimal | None
