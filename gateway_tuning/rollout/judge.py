"""Is the canary worse than the control? Pure: the same statistics give the same verdict.

Every metric is turned into harm, canary minus control with positive meaning worse, and gets a confidence
sequence. Its lower side, shared out over the metrics, says harmed where the estimate lies beyond the margin too;
its upper side, each metric by itself because all of them must hold, says non-inferior. The displayed score takes
nobody back and alone promotes nobody.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway_tuning.rollout.comparing import Metric, MetricResult, Status, Tail, compare, compare_tails
from gateway_tuning.rollout.policy import CanaryPolicy, MetricName
from gateway_tuning.rollout.sequential import UserSums, balance_evidence

__all__ = ["Metric", "MetricResult", "Statistics", "Verdict", "judge", "metrics"]

BALANCE_ALPHA = 0.001


@dataclass(frozen=True, slots=True)
class Statistics:
    """All that is known at one look. `sums[name]` holds the canary's and the control's users.

    Beside the metrics there may be `slow`: requests that took longer than `SLOW_SHARE` of the control's.
    """

    canary_users: int
    control_users: int
    simulated_requests: int
    sums: Mapping[str, tuple[UserSums, UserSums]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One look's findings. `score` in [0, 1] is near 1 when nothing changed; None while any metric has no data.

    `holds` says why nothing may go up although no metric is harmed; `against_promotion` why, besides metrics that are
    not within their margin, the canary may not be promoted.
    """

    results: tuple[MetricResult, ...]
    canary_users: int
    control_users: int
    balanced: bool
    score: float | None
    simulated_requests: int
    reasons: tuple[str, ...]
    holds: tuple[str, ...] = ()
    against_promotion: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def metrics(policy: CanaryPolicy) -> tuple[Metric, ...]:
    """The plan of a canary: what this judge compares. Where ratings are, how many there are is watched too."""
    users, margins, weights = policy.min_users, policy.margins, policy.weights
    known: dict[MetricName, Metric] = {
        "error_rate": Metric(
            "error_rate",
            "critical",
            1,
            "share",
            margins.error_rate,
            users,
            weights.error_rate,
            policy.min_requests,
        ),
        "latency": Metric(
            "latency", "guardrail", 1, "log", math.log1p(margins.latency), users, weights.latency
        ),
        "user_feedback": Metric(
            "user_feedback",
            "primary",
            -1,
            "share",
            margins.user_feedback,
            policy.min_rated_users,
            weights.user_feedback,
        ),
        "token_count": Metric(
            "token_count", "cost", 1, "log", math.log1p(margins.token_count), users, weights.token_count
        ),
        "relevance": Metric(
            "relevance",
            "guardrail",
            -1,
            "share",
            margins.relevance,
            policy.min_scored_users,
            weights.relevance,
        ),
    }
    plan = tuple(known[name] for name in policy.metrics_to_monitor)
    if "user_feedback" in policy.metrics_to_monitor:
        plan += (
            Metric("feedback_rate", "integrity", 0, "rate", math.log1p(margins.feedback_rate), users, 0.0),
        )
    return plan


def judge(statistics: Statistics, policy: CanaryPolicy, plan: tuple[Metric, ...]) -> Verdict:
    """Compare the arms. Raises KeyError when the statistics lack a planned metric, ValueError when one is no number."""
    tests = sum(metric.direction != 0 for metric in plan) + ("slow" in statistics.sums)
    alpha, lost = policy.abort_alpha / max(tests, 1), _lost(statistics)
    results = tuple(
        compare(metric, statistics.sums[metric.name], policy, abort_alpha=alpha, lost=lost) for metric in plan
    )
    if "slow" in statistics.sums:
        tail = compare_tails(*statistics.sums["slow"], policy, alpha)
        results = tuple(
            _with_tail(result, tail) if result.name == "latency" else result for result in results
        )
    evidence = balance_evidence(statistics.canary_users, statistics.control_users)
    balanced = evidence < 1.0 / BALANCE_ALPHA
    reasons = [_sentence(result) for result in results]
    if not balanced:
        reasons.insert(
            0,
            f"{statistics.canary_users} users on the canary against {statistics.control_users} on the control "
            f"are no equal split (likelihood ratio {evidence:.3g}): users were lost or assigned wrongly",
        )
    score = _score(results)
    return Verdict(
        results=results,
        canary_users=statistics.canary_users,
        control_users=statistics.control_users,
        balanced=balanced,
        score=score,
        simulated_requests=statistics.simulated_requests,
        reasons=tuple(reasons),
        holds=tuple(_incomparable(result) for result in results if result.status == "differs"),
        against_promotion=_below(score, policy.promotion_threshold),
    )


def _lost(statistics: Statistics) -> float:
    """Share of requests that failed on the canary and would not have failed on the control."""
    canary, control = statistics.sums.get("error_rate", (None, None))
    if canary is None or control is None or not (canary.n and control.n):
        return 0.0
    return max(canary.t / canary.n - control.t / control.n, 0.0)


def _with_tail(result: MetricResult, tail: Tail | None) -> MetricResult:
    status: Status = "harmed" if tail is not None and tail.harmed else result.status
    return replace(result, status=status, tail=tail)


def _score(results: tuple[MetricResult, ...]) -> float | None:
    # A score over the remaining metrics would read better than the truth.
    if not results or any(result.credit is None for result in results):
        return None
    weight = sum(result.weight for result in results)
    earned = sum(result.weight * result.credit for result in results if result.credit is not None)
    return earned / weight if weight else None


def _below(score: float | None, threshold: float) -> tuple[str, ...]:
    if score is None:
        return ("there is no score while a metric has no data",)
    return () if score >= threshold else (f"the score {score:.3f} is below the threshold {threshold:g}",)


def _incomparable(result: MetricResult) -> str:
    return (
        f"users rate {result.canary:.3g} of the answers on the canary and {result.control:.3g} on the control: who rates "
        "is no longer comparable, find out why"
    )


def _sentence(result: MetricResult) -> str:
    name = result.name.replace("_", " ")
    users = f"{result.canary_users} and {result.control_users} users"
    if result.harm is None or result.low is None or result.high is None:
        return f"{name}: no data ({users}; {result.lacking})"
    word = {"non_inferior": "not worse than the margin allows"}.get(result.status, result.status)
    return (
        f"{name}: {word}; {result.canary:.4g} on the canary, {result.control:.4g} on the control "
        f"({users}); harm {result.harm:+.4f}, between {result.low:+.4f} and {result.high:+.4f}, "
        f"margin {result.margin:.4f}{_slow_words(result.tail)}{f'; {result.lacking}' if result.lacking else ''}"
    )


def _slow_words(tail: Tail | None) -> str:
    if tail is None:
        return ""
    return f"; slow requests {tail.canary:.4g} and {tail.control:.4g}{', harmed' if tail.harmed else ''}"
