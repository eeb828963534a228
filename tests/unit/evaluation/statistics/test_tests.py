from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gateway_tuning.evaluation.statistics.multiplicity import holm
from gateway_tuning.evaluation.statistics.permutation import mcnemar, paired_permutation
from gateway_tuning.evaluation.statistics.power import detectable_difference


def test_with_few_clusters_all_ways_of_signs_are_counted():
    scores = [0.3, 0.1, -0.2, 0.4, 0.25, 0.05]
    totals = [abs(np.dot(signs, scores)) for signs in product((1, -1), repeat=6)]

    found = paired_permutation(scores, [0.0] * 6, seed=0)

    assert found == np.mean([total >= sum(scores) - 1e-9 for total in totals])


def test_random_signs_give_nearly_what_all_signs_give_and_never_zero():
    rng = np.random.default_rng(1)
    scores = rng.normal(0.25, 0.5, 13)
    exact = stats.permutation_test(
        (scores,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue

    assert paired_permutation(scores, np.zeros(13), seed=0) == pytest.approx(exact, abs=0.01)
    assert paired_permutation([1.0] * 40, [0.0] * 40, resamples=1_000, seed=0) == 1 / 1_001


def test_signs_of_whole_clusters_are_flipped():
    scores, labels = [0.5] * 40, np.repeat(np.arange(4), 10).tolist()

    assert paired_permutation(scores, [0.0] * 40, clusters=labels, seed=0) == 2 / 16


def test_without_a_difference_the_p_value_is_one_and_of_one_cluster_there_is_none():
    assert paired_permutation([0.5] * 20, [0.5] * 20, seed=0) == 1.0
    assert paired_permutation([0.5] * 20, [0.1] * 20, clusters=["a"] * 20, seed=0) is None
    assert mcnemar([1, 1], [0, 0], clusters=["a", "a"], seed=0) is None
    assert mcnemar([1, 0, 1], [1, 0, 1], seed=0) == 1.0


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemars_test_is_the_exact_one_of_the_pairs_that_changed(better, worse):
    candidate = [1] * better + [0] * worse + [1, 0]
    baseline = [0] * better + [1] * worse + [1, 0]
    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0

    assert mcnemar(candidate, baseline, seed=0) == pytest.approx(expected)


def test_by_clusters_of_one_pair_flipped_signs_are_mcnemars_test():
    candidate, baseline = [1] * 7 + [0] * 3, [0] * 7 + [1] * 3

    assert paired_permutation(candidate, baseline, seed=0) == pytest.approx(
        mcnemar(candidate, baseline, seed=0)
    )


def test_one_user_who_is_served_better_is_no_evidence_for_all():
    candidate, baseline = [1] * 30 + [0] * 8, [0] * 30 + [0] * 8
    labels = ["talkative"] * 30 + list("abcdefgh")

    assert mcnemar(candidate, baseline, seed=0) < 0.001
    assert mcnemar(candidate, baseline, clusters=labels, seed=0) == 1.0


def test_mcnemars_test_refuses_shares():
    with pytest.raises(ValueError, match="use paired_permutation"):
        mcnemar([0.5], [0.0], seed=0)


def test_holm_multiplies_the_smallest_most_and_leaves_unknown_ones_out():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_adjusted_p_values_are_never_smaller_keep_the_order_and_stay_within_one(p_values):
    pairs = [pair for pair in zip(p_values, holm(p_values), strict=True) if pair[0] is not None]

    assert all(p <= adjusted <= 1 for p, adjusted in pairs)
    ordered = [adjusted for _, adjusted in sorted(pairs)]
    assert ordered == sorted(ordered)


def test_the_detectable_difference_is_found_in_four_of_five_evaluations():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(30), 3).tolist()

    def draw(effect):
        return effect + np.repeat(rng.normal(0, 0.2, 30), 3) + rng.normal(0, 0.2, 90)

    detectable = np.mean([detectable_difference(draw(0), np.zeros(90), clusters=labels) for _ in range(200)])
    found = np.mean(
        [
            stats.ttest_1samp(draw(detectable).reshape(30, 3).mean(axis=1), 0).pvalue < 0.05
            for _ in range(1_000)
        ]
    )

    assert found == pytest.approx(0.8, abs=0.05)


def test_what_was_detectable_is_unknown_without_any_spread():
    assert detectable_difference([1.0] * 20, [0.0] * 20) is None
    stable = np.linspace(0.1, 0.7, 20)
    assert np.ptp((stable + 0.2) - stable) > 0  # what rounding leaves is no spread
    assert detectable_difference(stable + 0.2, stable) is None
    assert detectable_difference([1.0, 0.0], [0.0, 0.0], clusters=["a", "a"]) is None
