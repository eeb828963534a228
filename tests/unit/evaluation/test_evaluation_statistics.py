import numpy as np
import pytest

from gateway_tuning.evaluation.statistics import Difference, paired_bootstrap


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


def test_pairs_of_a_cluster_count_once():
    rng = np.random.default_rng(3)
    scores = np.repeat(rng.normal(0, 1, 10), 20)
    clusters = np.repeat(np.arange(10), 20).tolist()

    alone = paired_bootstrap(scores, np.zeros(200), seed=0)
    together = paired_bootstrap(scores, np.zeros(200), clusters=clusters, seed=0)

    assert together.high - together.low > 3 * (alone.high - alone.low)


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
        ([0.5, 0.75], [0.25, 0.5], None, Difference(0.25, 0.25, 0.25, 0.95, 2)),
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
