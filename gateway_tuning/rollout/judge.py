"""Is the canary worse than the control? Pure: the same statistics give the same verdict.

Every metric is turned into harm, canary minus control with positive meaning worse, and gets a confidence
sequence. Its lower side, shared out over the metrics, says harmed where the estimate lies beyond the margin too;
its upper side, each metric by itself because all of them must hold, says non-inferior. The displayed score decides
nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scipy import special

from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.sequential import (
    Mean,
    Scale,
    UserSums,
    balance_evidence,
    bound,
    clustered_mean,
    difference,
)

Status = Literal["harmed", "non_inferior", "undecided", "no_data"]
Role = Literal["guardrail", "primary"]

FEWEST_USERS = 5  # under so many users in an arm a variance means nothing and the metric has no data
BALANCE_ALPHA = 0.001
# At zero harm the sequence excludes the margin at about this many standard errors.
PLANNED_DRIFT = 3.0


@dataclass(frozen=True, slots=True)
class Metric:
    """What is compared. `direction` is 1 where more is worse and -1 where less is worse.

    `margin` is on the metric's scale: a share, or the difference of mean logarithms. `fewest_users` in each arm
    are needed before the metric may say non-inferior.
    """

    name: str
    role: Role
    direction: Literal[1, -1]
    scale: Scale
    margin: float
    fewest_users: int
    weight: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """All that is known at one look. `sums[name]` holds the canary's and the control's users."""

    canary_users: int
    control_users: int
    simulated_requests: int
    sums: Mapping[str, tuple[UserSums, UserSums]]


@dataclass(frozen=True, slots=True)
class MetricResult:
    """`low` and `high` bound the harm; all figures are None while the metric has no data.

    `canary` and `control` are the arms' own values: shares, or the geometric mean in milliseconds.
    """

    name: str
    role: Role
    status: Status
    margin: float
    weight: float
    canary_users: int
    control_users: int
    canary: float | None = None
    control: float | None = None
    harm: float | None = None
    low: float | None = None
    high: float | None = None
    credit: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One look's findings. `score` in [0, 1] is for display; None while any metric has no data."""

    results: tuple[MetricResult, ...]
    canary_users: int
    control_users: int
    balanced: bool
    score: float | None
    simulated_requests: int
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def metrics(policy: CanaryPolicy) -> tuple[Metric, ...]:
    """The plan of a canary: what this judge compares, from the policy's margins."""
    users, margins = policy.min_users, policy.margins
    return (
        Metric("error_rate", "guardrail", 1, "share", margins.error_rate, users, 0.3),
        Metric("latency", "guardrail", 1, "log", math.log1p(margins.latency), users, 0.15),
        Metric("user_feedback", "primary", -1, "share", margins.user_feedback, policy.min_rated_users, 0.4),
    )


def judge(statistics: Statistics, policy: CanaryPolicy, plan: tuple[Metric, ...]) -> Verdict:
    """Compare the arms. Raises KeyError when the statistics lack a planned metric."""
    results = tuple(_result(metric, *statistics.sums[metric.name], policy, len(plan)) for metric in plan)
    evidence = balance_evidence(statistics.canary_users, statistics.control_users)
    balanced = evidence < 1.0 / BALANCE_ALPHA
    reasons = [_sentence(result) for result in results]
    if not balanced:
        reasons.insert(
            0,
            f"{statistics.canary_users} users on the canary against {statistics.control_users} on the control "
            f"are no equal split (likelihood ratio {evidence:.3g}): users were lost or assigned wrongly",
        )
    return Verdict(
        results=results,
        canary_users=statistics.canary_users,
        control_users=statistics.control_users,
        balanced=balanced,
        score=_score(results),
        simulated_requests=statistics.simulated_requests,
        reasons=tuple(reasons),
    )


def _result(
    metric: Metric, canary: UserSums, control: UserSums, policy: CanaryPolicy, planned: int
) -> MetricResult:
    users = min(canary.users, control.users)
    if users < FEWEST_USERS:
        return MetricResult(
            metric.name, metric.role, "no_data", metric.margin, metric.weight, canary.users, control.users
        )
    canary_mean, control_mean = clustered_mean(canary, metric.scale), clustered_mean(control, metric.scale)
    harm = _harm(metric, difference(canary_mean, control_mean))
    information = 1.0 / harm.variance
    # An abort is planned for as soon as `min_users` are seen, a promotion for when the margin can be told from 0.
    low = harm.value - bound(harm, information * policy.min_users / users, policy.alpha / planned)
    high = harm.value + bound(harm, (PLANNED_DRIFT / metric.margin) ** 2, policy.alpha)
    return MetricResult(
        name=metric.name,
        role=metric.role,
        status=_status(harm.value, low, high, metric, users),
        margin=metric.margin,
        weight=metric.weight,
        canary_users=canary.users,
        control_users=control.users,
        canary=_shown(metric, canary_mean),
        control=_shown(metric, control_mean),
        harm=harm.value,
        low=low,
        high=high,
        credit=float(special.ndtr((metric.margin - harm.value) * math.sqrt(information))),
    )


def _harm(metric: Metric, canary_minus_control: Mean) -> Mean:
    value = metric.direction * canary_minus_control.value
    if not (math.isfinite(value) and math.isfinite(canary_minus_control.variance)):
        raise ValueError(f"{metric.name} has no finite estimate: look at the outcomes of this canary")
    return Mean(value, canary_minus_control.variance, canary_minus_control.freedom)


def _status(harm: float, low: float, high: float, metric: Metric, users: int) -> Status:
    # Harm inside the margin is acceptable by the owner's word, however surely it is there.
    if low > 0.0 and harm > metric.margin:
        return "harmed"
    return "non_inferior" if high < metric.margin and users >= metric.fewest_users else "undecided"


def _shown(metric: Metric, mean: Mean) -> float:
    return math.exp(mean.value) if metric.scale == "log" else mean.value


def _score(results: tuple[MetricResult, ...]) -> float | None:
    # A score over the remaining metrics would read better than the truth.
    if any(result.credit is None for result in results):
        return None
    weight = sum(result.weight for result in results)
    earned = sum(result.weight * result.credit for result in results if result.credit is not None)
    return earned / weight if weight else None


def _sentence(result: MetricResult) -> str:
    name = result.name.replace("_", " ")
    users = f"{result.canary_users} and {result.control_users} users"
    if result.harm is None or result.low is None or result.high is None:
        return f"{name}: no data ({users}, {FEWEST_USERS} are needed in each arm)"
    word = {"non_inferior": "not worse than the margin allows"}.get(result.status, result.status)
    return (
        f"{name}: {word}; {result.canary:.4g} on the canary, {result.control:.4g} on the control "
        f"({users}); harm {result.harm:+.4f}, between {result.low:+.4f} and {result.high:+.4f}, "
        f"margin {result.margin:.4f}"
    )
