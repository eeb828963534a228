"""One metric of a canary: its harm, the sequence around it, and what they say.

The harm is canary minus control with positive meaning worse; for a metric that only has to be the same it is the
difference.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy import special

from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.sequential import Mean, Scale, UserSums, bound, clustered_mean, difference

Status = Literal["harmed", "differs", "non_inferior", "undecided", "no_data"]
Role = Literal["critical", "guardrail", "primary", "cost", "integrity"]

FEWEST_USERS = 5  # under so many users in an arm a variance means nothing and the metric has no data
# At zero harm the sequence excludes the margin at about this many standard errors.
PLANNED_DRIFT = 3.0
GROSS = 3.0  # margins of harm that should be found soon
SLOW_SHARE = 0.05  # of the control's requests are called slow; that many of the canary's may be, and a margin

_REMEDIES: dict[str, str] = {
    "user_feedback": "let applications rate answers (POST /v1/answers/{id}/rating)",
    "token_count": "serve an endpoint that reports its usage",
    "relevance": "switch on relevance scoring (GATEWAY_TUNING_RELEVANCE_SHARE)",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """What is compared. `direction` is 1 where more is worse, -1 where less is worse, 0 where both are.

    `margin` is on the metric's scale: a share, or the difference of (mean) logarithms. `fewest_users` with
    `fewest_observations` in each arm are needed before the metric may say non-inferior.
    """

    name: str
    role: Role
    direction: Literal[1, -1, 0]
    scale: Scale
    margin: float
    fewest_users: int
    weight: float
    fewest_observations: int = 0


@dataclass(frozen=True, slots=True)
class Tail:
    """Shares of slow requests. `low` bounds the canary's excess from below; it can take back and never promotes."""

    canary: float
    control: float
    low: float
    margin: float

    @property
    def harmed(self) -> bool:
        return self.low > 0.0 and self.canary - self.control > self.margin


@dataclass(frozen=True, slots=True)
class MetricResult:
    """`low` and `high` bound the harm; all figures are None while the metric has no data.

    `canary` and `control` are the arms' own values: shares, or geometric means in milliseconds or tokens. `lacking`
    says what the metric needs before it can pass.
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
    lacking: str | None = None
    tail: Tail | None = None


def compare(
    metric: Metric,
    arms: tuple[UserSums, UserSums],
    policy: CanaryPolicy,
    *,
    abort_alpha: float,
    lost: float,
) -> MetricResult:
    """`arms` are canary and control; `abort_alpha` is this metric's part of the error rate of an abort.

    `lost` is the share of requests that failed on the canary and would not have failed on the control.

    Raises:
        ValueError: the estimate is no finite number.
    """
    canary, control = arms
    users = min(canary.users, control.users)
    if users < FEWEST_USERS or (metric.scale == "rate" and not (canary.t and control.t)):
        return MetricResult(
            metric.name,
            metric.role,
            "no_data",
            metric.margin,
            metric.weight,
            canary.users,
            control.users,
            lacking=_no_data(metric.name),
        )
    canary_mean, control_mean = clustered_mean(canary, metric.scale), clustered_mean(control, metric.scale)
    harm = _harm(metric, difference(canary_mean, control_mean))
    planned = (PLANNED_DRIFT / metric.margin) ** 2
    if metric.direction == 0:
        width = bound(harm, planned, policy.alpha / 2.0)
        low, high, worst = harm.value - width, harm.value + width, abs(harm.value)
        status: Status = "differs" if abs(harm.value) > max(width, metric.margin) else "undecided"
        passes = max(-low, high) < metric.margin
    else:
        # A promotion is planned for when the margin can be told from 0, an abort for when `GROSS` margins can be, and
        # not before `min_users`.
        soon = max(planned / GROSS**2, policy.min_users / users / harm.variance)
        low = harm.value - bound(harm, soon, abort_alpha)
        worst = _unrewarded(metric, harm.value, canary_mean.value, lost)
        high = worst + bound(harm, planned, policy.alpha)
        # Harm inside the margin is acceptable by the owner's word, however surely it is there.
        status = "harmed" if low > 0.0 and harm.value > metric.margin else "undecided"
        passes = high < metric.margin
    lacking = _lacking(metric, users, min(canary.n, control.n))
    if status == "undecided" and passes and lacking is None:
        status = "non_inferior"
    return MetricResult(
        name=metric.name,
        role=metric.role,
        status=status,
        margin=metric.margin,
        weight=metric.weight,
        canary_users=canary.users,
        control_users=control.users,
        canary=_shown(metric, canary_mean),
        control=_shown(metric, control_mean),
        harm=harm.value,
        low=low,
        high=high,
        credit=float(special.ndtr((metric.margin - worst) / math.sqrt(harm.variance))),
        lacking=lacking,
    )


def _harm(metric: Metric, canary_minus_control: Mean) -> Mean:
    value = (metric.direction or 1) * canary_minus_control.value
    if not (math.isfinite(value) and math.isfinite(canary_minus_control.variance)):
        raise ValueError(f"{metric.name} has no finite estimate: look at the outcomes of this canary")
    return Mean(value, canary_minus_control.variance, canary_minus_control.freedom)


def _unrewarded(metric: Metric, harm: float, canary: float, lost: float) -> float:
    """The harm that counts for passing.

    A failed request has no rating, relevance or tokens, so a canary that fails more could look better by failing
    where it would have been bad: what it lost counts as nothing good, and as no saving.
    """
    if metric.direction == -1:
        return harm + lost * canary
    if metric.role == "cost" and lost > 0.0:
        return max(harm, 0.0)
    return harm


def compare_tails(canary: UserSums, control: UserSums, policy: CanaryPolicy, alpha: float) -> Tail | None:
    users = min(canary.users, control.users)
    if users < FEWEST_USERS:
        return None
    canary_mean, control_mean = clustered_mean(canary, "share"), clustered_mean(control, "share")
    excess = difference(canary_mean, control_mean)
    low = excess.value - bound(excess, policy.min_users / users / excess.variance, alpha)
    return Tail(canary_mean.value, control_mean.value, low, policy.margins.slow_share)


def _lacking(metric: Metric, users: int, observations: float) -> str | None:
    if users < metric.fewest_users:
        return f"{users} users in the smaller arm, {metric.fewest_users} are needed"
    if observations < metric.fewest_observations:
        return f"{observations:.0f} requests in the smaller arm, {metric.fewest_observations} are needed"
    return None


def _no_data(name: str) -> str:
    needed = f"{FEWEST_USERS} users are needed in each arm"
    remedy = _REMEDIES.get(name)
    return needed if remedy is None else f"{needed}; {remedy} or leave {name} out of metrics_to_monitor"


def _shown(metric: Metric, mean: Mean) -> float:
    return mean.value if metric.scale == "share" else math.exp(mean.value)
