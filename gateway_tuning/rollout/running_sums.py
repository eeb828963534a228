"""What `arm_statistics.py` sums in the store, over observations that come one by one: each is read once."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from gateway_tuning.rollout.canary import Freshness
from gateway_tuning.rollout.comparing import SLOW_SHARE
from gateway_tuning.rollout.judge import Statistics
from gateway_tuning.rollout.sequential import UserSums

_SHORTEST_MS = 0.001  # a logarithm needs a latency above zero
_REQUESTS, _ERRORS, _LATENCY, _RATED, _POSITIVE, _COUNTED, _TOKENS, _SCORED, _RELEVANCE, _ANSWERED, _BOTH = (
    range(11)
)
_PAIRS = {
    "error_rate": (_REQUESTS, _ERRORS),
    "latency": (_REQUESTS, _LATENCY),
    "user_feedback": (_RATED, _POSITIVE),
    "token_count": (_COUNTED, _TOKENS),
    "relevance": (_SCORED, _RELEVANCE),
    "feedback_rate": (_ANSWERED, _BOTH),
}


@dataclass(frozen=True, slots=True)
class Observation:
    """One request. `own_answer` says that this arm answered it; `rating` is in [-1, 1], of an own answer alone."""

    user: str
    at: datetime
    latency_ms: float
    failed: bool
    own_answer: bool
    tokens: int | None
    rating: float | None
    relevance: float | None


@dataclass(slots=True)
class _Arm:
    """`totals` has a row for each user. What is new since the last look waits in `fresh`."""

    places: dict[str, int] = field(default_factory=dict)
    fresh: list[tuple[float, ...]] = field(default_factory=list)
    fresh_users: list[int] = field(default_factory=list)
    fresh_ms: list[float] = field(default_factory=list)
    last: datetime | None = None
    totals: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 11)))
    users: list[npt.NDArray[np.intp]] = field(default_factory=list)
    latencies: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(self, seen: Observation, failed_ms: float) -> None:
        place = self.places.setdefault(seen.user, len(self.places))
        self.last = seen.at
        latency = max(seen.latency_ms, failed_ms) if seen.failed else max(seen.latency_ms, _SHORTEST_MS)
        rated, counted, scored = seen.rating is not None, seen.tokens is not None, seen.relevance is not None
        self.fresh_users.append(place)
        self.fresh_ms.append(latency)
        self.fresh.append(
            (
                1.0,
                seen.failed,
                math.log(latency),
                rated,
                seen.rating is not None and seen.rating > 0,
                counted,
                math.log(max(seen.tokens or 1, 1)),
                scored,
                seen.relevance or 0.0,
                seen.own_answer,
                seen.own_answer and rated,
            )
        )

    def settle(self) -> None:
        if not self.fresh:
            return
        missing = len(self.places) - len(self.totals)
        self.totals = np.vstack([self.totals, np.zeros((missing, 11))])
        users = np.array(self.fresh_users, dtype=np.intp)
        np.add.at(self.totals, users, np.array(self.fresh, dtype=np.float64))
        self.users.append(users)
        self.latencies.append(np.array(self.fresh_ms))
        if len(self.users) > 64:  # noqa: PLR2004 - few enough to join, many enough not to join at every look
            self.users, self.latencies = [np.concatenate(self.users)], [np.concatenate(self.latencies)]
        self.fresh, self.fresh_users, self.fresh_ms = [], [], []

    def sums(self, name: str) -> UserSums:
        n, t = _PAIRS[name]
        return UserSums.of(self.totals[:, n], self.totals[:, t])

    def slow(self, limit: float | None) -> UserSums:
        counts = np.zeros(len(self.totals))
        if limit is not None:
            for users, latencies in zip(self.users, self.latencies, strict=True):
                counts += np.bincount(users[latencies > limit], minlength=len(counts))
        return UserSums.of(self.totals[:, _REQUESTS], counts)

    def slow_limit(self) -> float | None:
        if not self.latencies:
            return None
        latencies = np.concatenate(self.latencies)
        nth = int((1.0 - SLOW_SHARE) * len(latencies))
        return float(np.partition(latencies, nth)[nth])


class RunningSums:
    def __init__(self, failed_ms: float) -> None:
        """`failed_ms` is the latency that a failed request counts as at least."""
        self._failed_ms = failed_ms
        self._arms = {"canary": _Arm(), "control": _Arm()}
        self._control_since: set[str] = set()  # users after the canary's last outcome

    def add(self, arm: Literal["canary", "control"], seen: Observation) -> None:
        """Observations come in the order of their times."""
        self._arms[arm].add(seen, self._failed_ms)
        last = self._arms["canary"].last
        if arm == "canary":
            self._control_since.clear()
        elif last is None or seen.at > last:
            self._control_since.add(seen.user)

    def statistics(self) -> tuple[Statistics, Freshness]:
        canary, control = self._arms["canary"], self._arms["control"]
        canary.settle()
        control.settle()
        limit = control.slow_limit()
        sums = {name: (canary.sums(name), control.sums(name)) for name in _PAIRS}
        sums["slow"] = (canary.slow(limit), control.slow(limit))
        statistics = Statistics(len(canary.places), len(control.places), 0, sums)
        return statistics, Freshness(canary.last, control.last, len(self._control_since))
