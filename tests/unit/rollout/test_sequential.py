import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.rollout.sequential import UserSums, balance_evidence, clustered_mean, half_width


def sums(n, total):
    return UserSums(np.array(n, dtype=float), np.array(total, dtype=float))


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
