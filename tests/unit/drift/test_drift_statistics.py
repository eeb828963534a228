import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gateway_tuning.drift.statistics import category_bins, holm, numeric_bins, psi, shifts, word_bins

COUNTS = st.lists(st.integers(0, 1_000), min_size=1, max_size=12)


@given(COUNTS)
def test_equal_counts_have_no_psi(counts):
    assert psi(counts, counts) == 0


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(0, 99), min_size=n, max_size=n)] * 2)
    )
)
def test_psi_is_finite_symmetric_and_not_negative(pair):
    assert psi(*pair) == pytest.approx(psi(*pair[::-1]))
    assert 0 <= psi(*pair) < np.inf


def test_psi_of_known_shares():
    assert psi([499.5, 499.5], [899.5, 99.5]) == pytest.approx(0.4 * np.log(1.8) - 0.4 * np.log(0.2))


def test_a_new_category_with_half_of_the_rows_is_seen():
    bins = category_bins(["a"] * 500 + ["b"] * 500, ["a"] * 250 + ["b"] * 250 + ["new"] * 500)

    assert psi(bins[:1000].sum(axis=0), bins[1000:].sum(axis=0)) > 3


def test_categories_rare_on_both_sides_are_one():
    reference = ["a"] * 995 + [f"rare{number}" for number in range(5)]
    current = ["a"] * 900 + ["grown"] * 97 + ["rare1", "other1", "other2"]

    bins = category_bins(reference, current)

    assert bins[:1000].sum(axis=0).tolist() == [995, 0, 5]
    assert bins[1000:].sum(axis=0).tolist() == [900, 97, 3]


def test_numbers_fall_into_the_deciles_of_the_reference_with_open_ends_and_a_bin_for_nan():
    reference = [float(number) for number in range(1, 101)]

    bins = numeric_bins(reference, [-1e9, 1e9, float("nan"), 55.0])

    assert bins[:100].sum(axis=0).tolist() == [10] * 10 + [0]
    assert bins[100:].argmax(axis=1).tolist() == [0, 9, 10, 5]


def test_one_value_everywhere_is_one_bin():
    assert numeric_bins([3.0] * 5, [3.0] * 4).shape == (9, 1)


def test_words_beyond_the_most_frequent_are_counted_together():
    bins = word_bins([["a", "a", "b"]], [["a", "c", "d"]], words=1)

    assert bins.tolist() == [[2, 1], [1, 2]]


def test_p_values_of_independent_rows_agree_with_the_chi_squared_approximation():
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=800), rng.normal(0.12, 1, size=600)
    bins = numeric_bins(reference.tolist(), current.tolist())

    [shift] = shifts([bins], reference_rows=800, groups=range(1400), permutations=4_000, seed=1)

    scaled = shift.psi * 800 * 600 / 1400
    assert shift.p_value == pytest.approx(stats.chi2.sf(scaled, bins.shape[1] - 1), abs=0.03)
    assert shift.expected == pytest.approx((bins.shape[1] - 1) * (1 / 800 + 1 / 600), rel=0.1)


def test_rows_of_one_user_change_sides_together():
    rng = np.random.default_rng(0)
    users = [str(user) for user in np.repeat(np.arange(40), 25)]
    lengths = np.repeat(rng.normal(size=40), 25).tolist()
    bins = numeric_bins(lengths[:500], lengths[500:])

    [naive] = shifts([bins], reference_rows=500, groups=range(1000), permutations=999, seed=1)
    [grouped] = shifts([bins], reference_rows=500, groups=users, permutations=999, seed=1)

    assert naive.p_value == 0.001
    assert grouped.p_value > 0.05


def test_shuffles_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    bins = numeric_bins(rng.normal(size=100).tolist(), rng.normal(size=100).tolist())

    def run(seed):
        return shifts([bins], reference_rows=100, groups=range(200), permutations=299, seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_holm_adjusts_for_the_number_of_tests():
    assert holm([0.01, 0.04, 0.03, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_makes_a_p_value_smaller(p_values):
    adjusted = holm(p_values)

    assert all(low <= high <= 1 for low, high in zip(p_values, adjusted, strict=True))
    assert [adjusted[index] for index in np.argsort(p_values, kind="stable")] == sorted(adjusted)
