"""How often the whole machine decides wrongly, by seeded simulation of users who return and rate."""

import math
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gateway_tuning.rollout.canary import Freshness, advance, begin
from gateway_tuning.rollout.judge import Statistics, judge, metrics
from gateway_tuning.rollout.policy import CanaryPolicy, MetricMargins
from gateway_tuning.rollout.sequential import UserSums

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy(
    stages=(0.1, 0.5),
    stage_seconds=10,
    max_seconds=1e6,
    stale_seconds=1e5,
    min_users=20,
    min_rated_users=40,
    min_requests=50,
    margins=MetricMargins(error_rate=0.03, latency=0.25, user_feedback=0.10, feedback_rate=0.25),
    metrics_to_monitor=("error_rate", "latency", "user_feedback"),
)
USERS, LOOKS, ACTIVE, RATED, LIKED, SPREAD, RUNS = 800, 15, 0.4, 0.6, 0.7, 0.25, 100
ERRORS = 0.01


def run(rng, *, liked=LIKED, errors=ERRORS, slower=0.0):
    """One canary: sticky users with tastes and speeds of their own, looked at fifteen times."""
    places, k = rng.random(USERS), 1 / SPREAD - 1
    taste = {arm: rng.beta(p * k, (1 - p) * k, USERS) for arm, p in (("canary", liked), ("control", LIKED))}
    speed = rng.normal(0, 0.3, USERS)
    seen = {arm: np.zeros((USERS, 5)) for arm in taste}
    canary = begin(
        "c", tenant="t", model="m", candidate="v2", control="v1", policy=POLICY, salt="s", now=START
    )
    for look in range(1, LOOKS + 1):
        members = {"canary": places < canary.share, "control": places >= 1 - canary.share}
        for arm, inside in members.items():
            who = np.flatnonzero(inside & (rng.random(USERS) < ACTIVE))
            is_canary = arm == "canary"
            n = 1 + rng.poisson(0.5, len(who))
            failed = rng.binomial(n, errors if is_canary else ERRORS)
            latency = n * (speed[who] + slower * is_canary) + np.sqrt(n) * rng.normal(0, 0.5, len(who))
            rated = rng.binomial(n, RATED)
            positive = rng.binomial(rated, taste[arm][who])
            seen[arm][who] += np.column_stack([n, failed, latency, rated, positive])
        now = START + timedelta(seconds=10 * look)
        canary, _ = advance(
            canary, judge(_statistics(seen), POLICY, metrics(POLICY)), Freshness(now, now, 0), now
        )
        if canary.state != "running":
            break
    return canary.state


def _statistics(seen):
    rows = {arm: table[table[:, 0] > 0] for arm, table in seen.items()}

    def pair(n, total):
        return tuple(UserSums.of(rows[arm][:, n], rows[arm][:, total]) for arm in ("canary", "control"))

    sums = {
        "error_rate": pair(0, 1),
        "latency": pair(0, 2),
        "user_feedback": pair(3, 4),
        "feedback_rate": pair(0, 3),
    }
    return Statistics(len(rows["canary"]), len(rows["control"]), 0, sums)


def outcomes(seed, **changes):
    rng = np.random.default_rng(seed)
    return Counter(run(rng, **changes) for _ in range(RUNS))


def upper(rate):
    """Largest count that a true rate explains: mean plus three standard errors."""
    return RUNS * rate + 3 * math.sqrt(RUNS * rate * (1 - rate))


def test_equal_versions_are_rarely_rolled_back_and_mostly_promoted():
    counts = outcomes(1)
    assert counts["rolled_back"] + counts["invalid"] <= upper(POLICY.abort_alpha)
    assert counts["promoted"] > 0.6 * RUNS


@pytest.mark.parametrize(
    "change",
    [
        {"liked": LIKED - POLICY.margins.user_feedback},
        {"errors": ERRORS + POLICY.margins.error_rate},
        {"slower": math.log1p(POLICY.margins.latency)},
    ],
    ids=["feedback", "errors", "latency"],
)
def test_a_version_exactly_as_bad_as_a_margin_is_rarely_promoted(change):
    assert outcomes(2, **change)["promoted"] <= upper(POLICY.alpha)


def test_a_much_worse_version_is_rolled_back():
    for change in ({"liked": LIKED - 0.35}, {"errors": 0.2}, {"slower": 1.0}):
        assert outcomes(3, **change)["rolled_back"] >= 0.98 * RUNS


def test_a_better_version_is_promoted():
    assert outcomes(4, liked=LIKED + 0.15)["promoted"] >= 0.95 * RUNS
