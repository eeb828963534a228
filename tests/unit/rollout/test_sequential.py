import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.rollout.sequential import (
    Mean,
    UserSums,
    balance_evidence,
    bound,
    clustered_mean,
    difference,
    half_width,
)


def sums(n, total):
    return UserSums.of(n, total)


def test_the_half_width_is_the_published_formula():
    information, planned, alpha = 400.0, 900.0, 0.05
    tau2 = (-2 * math.log(0.1) + math.log(-2 * math.log(0.1)) + 1) / planned
    inner = information * tau2 + 1
    expected = math.sqrt(inner / (information**2 * tau2) * 2 * math.log(math.sqrt(inner) / 0.1))
    assert half_width(information, planned, alpha) == pytest.approx(expected)


def test_a_repeatedly_read_bound_is_wider_than_a_fixed_one_and_not_more_than_twice():
    fixed = 1.645 / math.sqrt(900)
    assert fixed < half_width(900, 900, 0.05) < 2 * fixed


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0.001, 0.2))
def test_more_information_always_narrows(information, planned, alpha):
    assert half_width(information * 1.5, planned, alpha) < half_width(information, planned, alpha)


def test_the_bound_crosses_a_walk_without_drift_less_often_than_its_level_at_any_number_of_looks():
    rng = np.random.default_rng(11)
    looks = np.arange(1, 401)
    walks = np.cumsum(rng.normal(size=(4000, len(looks))), axis=1) / looks
    bounds = np.array([half_width(float(look), 100.0, 0.05) for look in looks])
    crossed = (walks > bounds).any(axis=1).mean()
    peeked = (walks > 1.645 / np.sqrt(looks)).any(axis=1).mean()
    assert crossed <= 0.05
    assert peeked > 0.25  # what it protects against


def test_no_error_in_fifty_requests_is_not_zero_variance():
    mean = clustered_mean(sums([1] * 50, [0] * 50), "share")
    assert mean.value == 0.0
    assert 0.0001 < mean.variance < 0.0006  # Jeffreys for 0 of 50 gives 0.0002


def test_the_imagined_users_fade_as_real_ones_come():
    rng = np.random.default_rng(3)
    hits = rng.binomial(1, 0.3, 5000)
    mean = clustered_mean(sums(np.ones(5000), hits), "share")
    assert mean.variance == pytest.approx(mean.value * (1 - mean.value) / 5000, rel=0.01)


def test_requests_of_one_user_count_as_one_user_and_not_as_many():
    # 50 users who always or never fail, ten requests each: no more known than from one request each.
    once = clustered_mean(sums([1] * 50, [1] * 25 + [0] * 25), "share")
    often = clustered_mean(sums([10] * 50, [10] * 25 + [0] * 25), "share")
    assert often.variance == pytest.approx(once.variance)


@given(
    st.lists(st.tuples(st.integers(1, 20), st.floats(0, 1)), min_size=2, max_size=60),
    st.sampled_from(["share", "log", "rate"]),
)
def test_the_sums_give_the_ratio_and_the_residuals_that_the_users_themselves_give(users, scale):
    n = np.array([count for count, _ in users], dtype=float)
    t = np.array([count * part for count, part in users]) + 0.1
    mean = clustered_mean(UserSums.of(n, t), scale)
    ratio = t.sum() / n.sum()
    imagined = 0.01 if scale == "log" else 0.5 * ((1 - ratio) ** 2 + ratio**2)
    squares = ((t - ratio * n) ** 2).sum() + imagined * n.mean() ** 2
    alike = max(n.sum() ** 2 / (n**2).sum(), 1.5)
    variance = alike / (alike - 1) * squares / n.sum() ** 2
    if scale == "rate":
        assert mean.value == pytest.approx(math.log(ratio))
        variance /= ratio**2
    else:
        assert mean.value == pytest.approx(ratio)
    assert mean.variance == pytest.approx(variance, rel=1e-6)


def test_users_without_an_observation_are_no_users():
    assert sums([3, 0, 1], [1, 0, 1]) == sums([3, 1], [1, 1])
    assert sums([], []).users == 0


def test_a_rate_has_the_variance_of_its_logarithm():
    rng = np.random.default_rng(8)
    rates = []
    for _ in range(400):
        n = 1 + rng.poisson(3, 500)
        rates.append(clustered_mean(sums(n, rng.binomial(n, 0.2)), "rate"))
    observed = np.var([rate.value for rate in rates])
    assert np.mean([rate.variance for rate in rates]) == pytest.approx(observed, rel=0.2)


def test_an_equal_split_is_rarely_doubted_and_a_broken_one_always():
    rng = np.random.default_rng(5)
    canary = np.cumsum(rng.binomial(10, 0.5, (1000, 50)), axis=1)
    doubted = 0
    for path in canary:
        evidence = [balance_evidence(int(c), 10 * (i + 1) - int(c)) for i, c in enumerate(path)]
        doubted += max(evidence) > 1000
    assert doubted <= 4  # one expected at most
    assert balance_evidence(300, 500) > 1000
    assert balance_evidence(0, 0) == 1.0


def test_one_user_with_most_of_the_requests_makes_nothing_certain():
    rng = np.random.default_rng(9)
    crossed = naive = 0
    for _ in range(1000):
        arms = []
        for _ in range(2):
            n = np.where(rng.random(30) < 0.05, 200, 5).astype(float)
            arms.append(UserSums.of(n, n * rng.normal(7, 0.3, 30)))
        harm = difference(*(clustered_mean(arm, "log") for arm in arms))
        crossed += abs(harm.value) > bound(harm, 1 / harm.variance, 0.005)
        naive += abs(harm.value) > half_width(1 / harm.variance, 1 / harm.variance, 0.005)
    assert crossed <= 10 < naive  # one in a hundred at most, on both sides together


@given(st.floats(1e-6, 1.0), st.floats(0.01, 100), st.floats(0.001, 0.1))
def test_few_degrees_of_freedom_only_widen(variance, ahead, alpha):
    planned = ahead / variance
    few, many = (bound(Mean(0.0, variance, freedom), planned, alpha) for freedom in (3.0, 1e9))
    assert few >= many
    assert many == pytest.approx(half_width(1 / variance, planned, alpha), rel=1e-3)
