"""What others would have decided on the same draws, along the same ramp, re-stated from their documents.

- A z-test at every look: the usual test at 5 %, user by user as ours, repeated as if each look were the only one.
- The score of the C# design: each metric earns 0.5 +- its relative change / 20 %, half of that where p >= 0.05, and 0.95
  of the weighted mean promotes; one look, at the end of the 10 % stage.
- Kayenta's NetflixACAJudge: a point a look and arm; a metric fails when the 98 % Mann-Whitney interval of the shift lies
  beyond 0.25 of its estimate on the bad side; the weights of the metrics that pass add up to the score, 75 passes, under 50
  is marginal and ends the canary. Looked at when a stage ends, over all points so far.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from benchmarks.canary_sums import LOOKS_A_DAY
from gateway_tuning.rollout.comparing import Metric
from gateway_tuning.rollout.sequential import UserSums, clustered_mean, difference

Look = Mapping[str, tuple[UserSums, UserSums]]
Looks = Sequence[Look]

Z = 1.6449
CSHARP_DAY = 3  # ends the 10 % stage
# Standard deviations of a request; of the logarithm, but for relevance.
_CSHARP_SPREAD = {"latency": 0.6, "token_count": 0.7, "relevance": 0.15}
_HALF = 0.5
PASS, MARGINAL = 75.0, 50.0
TOLERANCE, CONFIDENCE = 0.25, 0.98


def harm(metric: Metric, arms: tuple[UserSums, UserSums]) -> tuple[float, float]:
    """Estimate and standard error."""
    found = difference(clustered_mean(arms[0], metric.scale), clustered_mean(arms[1], metric.scale))
    return metric.direction * found.value, math.sqrt(found.variance)


def repeated_z(looks: Looks, plan: Sequence[Metric], first_of_last_stage: int) -> str:
    for number, look in enumerate(looks):
        if any(min(arms[0].users, arms[1].users) < 50 for arms in look.values()):  # noqa: PLR2004 - no peer tests fewer
            continue
        found = [(metric, *harm(metric, look[metric.name])) for metric in plan]
        if any(value > Z * error for _, value, error in found):
            return "rolled_back"
        # The last stage must have lasted its day, as with us.
        if number >= first_of_last_stage + LOOKS_A_DAY - 1 and all(
            value + Z * error < metric.margin for metric, value, error in found
        ):
            return "promoted"
    return "inconclusive"


def csharp_score(look: Look, plan: Sequence[Metric]) -> float:
    earned = 0.0
    for metric in plan:
        canary, control = look[metric.name]
        averages = [_average(metric, arm) for arm in (canary, control)]
        percent = (averages[0] - averages[1]) / abs(averages[1]) * 100 if averages[1] else 0.0
        deviation = _deviation(metric, canary, control, averages)
        error = deviation * math.sqrt(1 / canary.n + 1 / control.n)
        t = abs(averages[0] - averages[1]) / error if error else 0.0
        p = math.exp(-0.717 * t - 0.416 * t * t)
        step = min(abs(percent) / 20, _HALF)
        score = _HALF + step if percent * metric.direction < 0 else _HALF - step
        if p >= 0.05:  # noqa: PLR2004 - its level
            score = _HALF + (score - _HALF) * _HALF
        earned += score * metric.weight
    return earned / sum(metric.weight for metric in plan)


def _average(metric: Metric, arm: UserSums) -> float:
    return math.exp(arm.t / arm.n) if metric.scale == "log" else arm.t / arm.n


def _deviation(metric: Metric, canary: UserSums, control: UserSums, averages: list[float]) -> float:
    if metric.name in _CSHARP_SPREAD:
        spread = _CSHARP_SPREAD[metric.name]
        return spread * averages[1] if metric.scale == "log" else spread
    pooled = (canary.t + control.t) / (canary.n + control.n)
    return math.sqrt(pooled * (1 - pooled))


def kayenta(looks: Looks, plan: Sequence[Metric], stage_ends: Sequence[int]) -> str:
    for number, end in enumerate(stage_ends):
        score = 100.0 * _passed(looks[:end], plan)
        if score < MARGINAL:
            return "rolled_back"
        if number == len(stage_ends) - 1:
            return "promoted" if score >= PASS else "rolled_back"
    return "inconclusive"


def _passed(looks: Looks, plan: Sequence[Metric]) -> float:
    weight = sum(metric.weight for metric in plan)
    good = 0.0
    for metric in plan:
        canary, control = (_points(looks, metric, arm) for arm in (0, 1))
        low, high, estimate = shift_interval(canary, control)
        band = TOLERANCE * abs(estimate)
        worse = low > band if metric.direction == 1 else high < -band
        good += 0.0 if worse else metric.weight
    return good / weight


def _points(looks: Looks, metric: Metric, arm: int) -> npt.NDArray[np.float64]:
    totals = np.array([(look[metric.name][arm].n, look[metric.name][arm].t) for look in looks])
    gained = np.diff(totals, axis=0, prepend=np.zeros((1, 2)))
    seen = gained[:, 0] > 0
    points: npt.NDArray[np.float64] = gained[seen, 1] / gained[seen, 0]
    return np.exp(points) if metric.scale == "log" else points


def shift_interval(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Interval and Hodges-Lehmann estimate of a - b from the ordered pairwise differences (normal approximation)."""
    pairs = np.sort(np.subtract.outer(a, b), axis=None)
    n, m = len(a), len(b)
    z = -float(special.ndtri((1 - confidence) / 2))
    skip = max(int(n * m / 2 - z * math.sqrt(n * m * (n + m + 1) / 12)), 0)
    return float(pairs[skip]), float(pairs[-1 - skip]), float(np.median(pairs))
