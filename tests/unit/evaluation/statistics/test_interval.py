import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gateway_tuning.evaluation.statistics import Difference, paired_bootstrap
from gateway_tuning.evaluation.statistics.clusters import error_of, paired_clusters


def binary(better, worse, same):
    """Scores of 0 and 1 with so many pairs that changed."""
    candidate = [1.0] * better + [0.0] * worse + [1.0] * same
    baseline = [0.0] * better + [1.0] * worse + [1.0] * same
    return candidate, baseline


def test_the_interval_of_a_clear_difference_excludes_zero():
    rng = np.random.default_rng(1)
    baseline = rng.uniform(0, 0.5, 100)

    difference = paired_bootstrap(baseline + rng.normal(0.2, 0.1, 100), baseline, seed=0)

    assert 0.15 < difference.low < difference.mean < difference.high < 0.25
    assert difference.n == 100


def test_the_interval_covers_the_truth_as_often_as_its_level_says():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        clusters = np.repeat(np.arange(12), 4)
        scores = np.repeat(rng.normal(0.1, 0.2, 12), 4) + rng.normal(0, 0.1, 48)
        found = paired_bootstrap(scores, np.zeros(48), clusters=clusters.tolist(), resamples=1_000, seed=0)
        covered += found.low <= 0.1 <= found.high

    assert 0.92 <= covered / 400 <= 0.98


def test_a_few_users_who_give_most_examples_do_not_make_the_interval_too_narrow():
    rng = np.random.default_rng(3)
    sizes = [40, 20, 10, *[2] * 17]
    labels = np.repeat(np.arange(20), sizes).tolist()
    covered = 0
    for _ in range(300):
        scores = np.repeat(rng.normal(0, 0.2, 20), sizes) + rng.normal(0, 0.2, len(labels))
        found = paired_bootstrap(scores, np.zeros(len(labels)), clusters=labels, resamples=1_000, seed=0)
        covered += found.low <= 0 <= found.high

    assert covered / 300 >= 0.93


def test_pairs_of_a_cluster_count_once():
    rng = np.random.default_rng(3)
    scores = np.repeat(rng.normal(0, 1, 10), 20)
    clusters = np.repeat(np.arange(10), 20).tolist()

    alone = paired_bootstrap(scores, np.zeros(200), seed=0)
    together = paired_bootstrap(scores, np.zeros(200), clusters=clusters, seed=0)

    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_twenty_pairs_without_a_change_leave_room_for_one():
    found = paired_bootstrap(*binary(0, 0, 20), seed=0, span=1.0)

    assert found.mean == 0
    assert -0.2 < found.low < -0.1  # one in twenty that gets worse is missed in 36 of 100 such evaluations
    assert 0.1 < found.high < 0.2


def test_a_rare_change_for_the_worse_is_not_taken_for_none():
    rng = np.random.default_rng(4)
    beyond = 0
    for _ in range(300):
        worse = int(rng.binomial(20, 0.08))
        found = paired_bootstrap(*binary(0, worse, 20 - worse), resamples=1_000, seed=0, span=1.0)
        beyond += found.low > -0.08

    assert beyond / 300 <= 0.05


def test_the_interval_stays_where_differences_can_be():
    found = paired_bootstrap(*binary(19, 0, 1), seed=0, span=1.0)

    assert found.low > 0.5
    assert found.high == 1.0


def test_the_same_seed_gives_the_same_interval_and_more_rows_than_fit_at_once_do_not_change_it():
    scores = np.random.default_rng(4).normal(size=3_000).tolist()

    first = paired_bootstrap(scores, [0.0] * 3_000, resamples=1_500, seed=7)

    assert first == paired_bootstrap(scores, [0.0] * 3_000, resamples=1_500, seed=7)
    assert first.high - first.low == pytest.approx(2 * 1.96 * np.std(scores) / np.sqrt(3_000), rel=0.1)


@pytest.mark.parametrize(
    ("candidate", "baseline", "clusters", "expected"),
    [
        ([], [], None, Difference(None, None, None, 0.95, 0)),
        ([0.5], [0.25], None, Difference(0.25, None, None, 0.95, 1)),
        ([0.5, 0.75], [0.25, 0.5], ["a", "a"], Difference(0.25, None, None, 0.95, 2)),
        ([0.5, 0.75], [0.25, 0.5], None, Difference(0.25, None, None, 0.95, 2)),
    ],
)
def test_what_cannot_be_known_is_none_not_zero(candidate, baseline, clusters, expected):
    assert paired_bootstrap(candidate, baseline, clusters=clusters, seed=0) == expected


def test_scores_of_different_length_or_not_finite_are_refused():
    with pytest.raises(ValueError, match="broadcast"):
        paired_bootstrap([1.0, 2.0, 3.0], [1.0, 2.0], seed=0)
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap([float("nan")], [1.0], seed=0)
    with pytest.raises(ValueError, match="2 pairs and 1 cluster labels"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0], clusters=["a"], seed=0)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 4)), min_size=2, max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_other_way_round_the_interval_is_turned_over_and_it_holds_the_mean(rows, random):
    ours, theirs, labels = map(list, zip(*rows, strict=True))
    options = {"clusters": labels, "resamples": 1_000, "seed": 0, "span": 1.0}

    found = paired_bootstrap(ours, theirs, **options)
    turned = paired_bootstrap(theirs, ours, **options)

    assert turned.mean == pytest.approx(-found.mean, abs=1e-12)
    if found.low is not None:
        assert -1 <= found.low <= found.mean + 1e-9
        assert found.mean - 1e-9 <= found.high <= 1
        assert turned.high == pytest.approx(-found.low, abs=0.25)


def test_the_error_of_clusters_of_one_size_is_that_of_their_means():
    rng = np.random.default_rng(5)
    means = rng.normal(size=15)
    scores = np.repeat(means, 4)

    error = error_of(paired_clusters(scores, np.zeros(60), np.repeat(np.arange(15), 4).tolist()))

    assert error.standard == pytest.approx(means.std(ddof=1) / np.sqrt(15))
    assert error.freedom == pytest.approx(14)


def test_where_resamples_cannot_tell_the_interval_is_that_of_t_with_two_made_up_clusters():
    means = np.random.default_rng(7).normal(size=11)
    error = error_of(paired_clusters(means, np.zeros(11), None))
    squares = ((means - means.mean()) ** 2).sum()
    made_up = 2 * squares / stats.chi2.ppf(0.1, 10)
    widened = np.sqrt((squares + made_up) / 13 * 11 / squares)

    found = paired_bootstrap(means, np.zeros(11), resamples=1_000, seed=0)

    half = stats.t.ppf(0.975, 10) * error.standard * widened
    assert (found.low, found.high) == pytest.approx((means.mean() - half, means.mean() + half))


def test_degrees_of_freedom_are_those_of_the_whole_covariance_matrix():
    rng = np.random.default_rng(6)
    sizes = rng.integers(1, 30, 25)
    labels = np.repeat(np.arange(25), sizes)
    scores = np.repeat(rng.normal(size=25), sizes) + rng.normal(size=labels.size)
    found = paired_clusters(scores, np.zeros(labels.size), labels.tolist())

    n = labels.size
    residuals = scores - scores.mean()
    within = sum(residuals[labels == g].sum() ** 2 - (residuals[labels == g] ** 2).sum() for g in range(25))
    correlation = np.clip(within / (residuals.var() * (sizes * (sizes - 1)).sum()), 0, 1)
    centred = np.eye(25) - np.outer(sizes, np.ones(25)) / n
    inflated = np.diag(1 / np.sqrt(1 - sizes / n)) @ centred
    covariance = inflated @ np.diag(sizes * (1 - correlation) + correlation * sizes**2) @ inflated.T

    assert 0.1 < correlation < 0.9
    expected = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    assert error_of(found).freedom == pytest.approx(expected)
