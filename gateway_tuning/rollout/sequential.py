"""Sequential statistics over users: a bound may be read at every look and still keeps its error rate.

The confidence sequence is the normal mixture of Robbins (Waudby-Smith et al. 2024, Annals of Statistics 52(6),
for estimated variances). With information V = 1/se^2 and a = 2 alpha for one side, its half-width is
sqrt((V tau^2 + 1) / (V^2 tau^2) * 2 ln(sqrt(V tau^2 + 1) / a)), narrowest near the planned information V* by
tau^2 = (-2 ln a + ln(-2 ln a) + 1) / V*.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

Scale = Literal["share", "log", "rate"]
LOG_FLOOR = 0.10  # one imagined user this far from the mean: latencies are never known to be all equal


@dataclass(frozen=True, slots=True)
class UserSums:
    """One metric in one arm. A user has n observations that add up to t; here are the sums over users.

    They are sufficient for a ratio and its clustered variance, and grow by addition: a look need not read again what
    an earlier one has read.
    """

    users: int
    n: float
    t: float
    nn: float
    nt: float
    tt: float

    @classmethod
    def of(cls, n: npt.ArrayLike, t: npt.ArrayLike) -> "UserSums":
        """From two equally long arrays, an entry a user; users without an observation do not count."""
        n, t = np.asarray(n, dtype=np.float64), np.asarray(t, dtype=np.float64)
        users = int(np.count_nonzero(n))
        # Not `@`: what shares a machine with others would wait for its threads.
        squares = [float((a * b).sum()) for a, b in ((n, n), (n, t), (t, t))]
        return cls(users, float(n.sum()), float(t.sum()), *squares)


@dataclass(frozen=True, slots=True)
class Mean:
    """A ratio of sums with the variance of that ratio and the degrees of freedom behind the variance."""

    value: float
    variance: float
    freedom: float


def clustered_mean(sums: UserSums, scale: Scale) -> Mean:
    """Mean over observations with user-clustered variance by the delta method; needs two users.

    The requests of one user resemble each other, so users are what is counted: the variance is the sum of
    squared user residuals (t - R n) over the squared number of observations. A small sample without any error
    is no proof of a perfect model, so imagined users enter the variance, never the mean. For shares, and all that
    lies between 0 and 1, they are Jeffreys' half a user who always has it and half a user who never has it; for
    logarithms one user `LOG_FLOOR` away. Their weight vanishes as real users come.

    One user with most of the requests pulls the ratio along, and its residual hides that. So many users of unequal weight
    count as (sum of n)^2 / (sum of n^2) of equal weight (Kish), in the correction for few users and in the degrees of
    freedom.

    A rate is a share on the scale of its logarithm, and must be above 0.
    """
    ratio = sums.t / sums.n
    imagined = LOG_FLOOR**2 if scale == "log" else 0.5 * ((1.0 - ratio) ** 2 + ratio**2)
    residuals = max(sums.tt - 2.0 * ratio * sums.nt + ratio**2 * sums.nn, 0.0)  # rounding may go below
    squares = residuals + imagined * (sums.n / sums.users) ** 2
    alike = max(sums.n**2 / sums.nn, 1.5)  # users of equal weight that would know as much
    variance = alike / (alike - 1.0) * squares / sums.n**2
    if scale == "rate":
        return Mean(math.log(ratio), variance / ratio**2, alike - 1.0)
    return Mean(ratio, variance, alike - 1.0)


def difference(canary: Mean, control: Mean) -> Mean:
    """Canary minus control, with Welch and Satterthwaite's degrees of freedom."""
    variance = canary.variance + control.variance
    freedom = variance**2 / (canary.variance**2 / canary.freedom + control.variance**2 / control.freedom)
    return Mean(canary.value - control.value, variance, freedom)


def half_width(information: float, planned: float, alpha: float) -> float:
    """One side of the confidence sequence at level `alpha`; see the formula above."""
    a = 2.0 * alpha
    tau2 = (-2.0 * math.log(a) + math.log(-2.0 * math.log(a)) + 1.0) / planned
    scaled = information * tau2
    return math.sqrt((scaled + 1.0) / (information * scaled) * 2.0 * math.log(math.sqrt(scaled + 1.0) / a))


def bound(mean: Mean, planned: float, alpha: float) -> float:
    """The half-width, widened for small samples to the Student quantile of the same tail probability."""
    standard_error = math.sqrt(mean.variance)
    normal = half_width(1.0 / mean.variance, planned, alpha) / standard_error
    tail = float(special.ndtr(-normal))
    # Far in the tail both quantiles underflow; the normal one is then wide enough to decide nothing.
    quantile = -float(special.stdtrit(mean.freedom, tail)) if tail > 0.0 else normal
    return standard_error * max(normal, quantile)


def balance_evidence(canary_users: int, control_users: int) -> float:
    """How much better than an equal split any other split explains the two counts, as a likelihood ratio.

    The mixture over all splits is a martingale under an equal split (Lindon and Malek 2022): a value above
    1/alpha happens with probability at most alpha, at any number of looks, where a chi-square test repeated
    at every look would reject more and more often.
    """
    log_ratio = special.betaln(canary_users + 1, control_users + 1) + (
        canary_users + control_users
    ) * math.log(2)
    return math.exp(min(float(log_ratio), 700.0))
