import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gateway_tuning.drift import statistics
from gateway_tuning.drift.columns import category_bins, numeric_bins
from gateway_tuning.drift.spending import alpha_of
from gateway_tuning.drift.statistics import holm, p_value_of, psi, shifts, units

COUNTS = st.lists(st.integers(0, 1_000), min_size=1, max_size=12)


def sums(binned, rows):
    return binned.counts[rows].toarray().sum(axis=0)


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

    assert psi(sums(bins, slice(0, 1000)), sums(bins, slice(1000, None))) > 3


def test_categories_rare_on_both_sides_are_one():
    reference = ["a"] * 995 + [f"rare{number}" for number in range(5)]
    current = ["a"] * 900 + ["grown"] * 97 + ["rare1", "other1", "other2"]

    bins = category_bins(reference, current)

    assert bins.labels == ("a", "grown", "other")
    assert sums(bins, slice(0, 1000)).tolist() == [995, 0, 5]
    assert sums(bins, slice(1000, None)).tolist() == [900, 97, 3]


def test_a_category_that_is_not_known_has_a_bin_of_its_own():
    assert category_bins(["a", None], [None, "b"]).labels == ("a", "unknown", "b")


def test_numbers_fall_into_the_deciles_of_the_reference_with_open_ends_and_a_bin_for_nan():
    reference = [float(number) for number in range(1, 101)]

    bins = numeric_bins(reference, [-1e9, math.inf, float("nan"), None, 55.0])

    assert sums(bins, slice(0, 100)).tolist() == [10] * 10 + [0]
    assert bins.counts[100:].toarray().argmax(axis=1).tolist() == [0, 9, 10, 10, 5]
    assert (bins.labels[0], bins.labels[-1]) == ("up to 10.9", "unknown")


def test_one_value_everywhere_is_one_bin():
    assert numeric_bins([3.0] * 5, [3.0] * 4).counts.shape == (9, 1)


@pytest.mark.parametrize(
    ("reference", "current", "labels"),
    [
        ([7.0] * 20, [5.0] * 20, ("below 7", "7")),
        ([7.0] * 20, [9.0] * 20, ("7", "above 7")),
        ([2.0] * 8 + [3.0, 4.0], [0.0] * 10, ("below 2", "2", "above 2.2 to 3.1", "above 3.1")),
        ([1.0] * 5 + [8.0] * 5, [6.0] * 10, ("1", "above 4.5 and below 8", "8")),
    ],
)
def test_a_value_of_many_rows_is_not_taken_for_what_lies_beside_it(reference, current, labels):
    bins = numeric_bins(reference, current)

    first = len(reference)
    before, after = (
        np.asarray(part.sum(axis=0)).ravel() for part in (bins.counts[:first], bins.counts[first:])
    )
    assert bins.labels == labels
    assert (before * after).sum() == 0


def test_numbers_without_end_leave_the_bins_of_the_others_as_they_are():
    known = [float(value) for value in range(100)]

    assert numeric_bins([*known, math.inf, math.inf], known).labels == numeric_bins(known, known).labels


def test_p_values_of_independent_rows_agree_with_the_chi_squared_approximation():
    rng = np.random.default_rng(0)
    bins = numeric_bins(rng.normal(size=800).tolist(), rng.normal(0.12, 1, size=600).tolist())

    [shift] = shifts([bins.counts], units(800, 600), permutations=3_000, seed=1)

    scaled = shift.psi * 800 * 600 / 1400
    assert shift.p_value == pytest.approx(stats.chi2.sf(scaled, len(bins.labels) - 1), abs=0.03)
    assert shift.expected == pytest.approx((len(bins.labels) - 1) * (1 / 800 + 1 / 600), rel=0.1)


def test_normal_draws_for_many_units_agree_with_shuffles(monkeypatch):
    rng = np.random.default_rng(0)
    bins = numeric_bins(rng.normal(size=800).tolist(), rng.normal(0.1, 1, size=600).tolist()).counts
    [shuffled] = shifts([bins], units(800, 600), permutations=3_000, seed=1)

    monkeypatch.setattr(statistics, "_MANY_UNITS", 1_000)
    [drawn] = shifts([bins], units(800, 600), permutations=3_000, seed=1)

    assert drawn != shuffled
    assert drawn.expected == pytest.approx(shuffled.expected, rel=0.05)
    assert drawn.p_value == pytest.approx(shuffled.p_value, abs=0.03)


def test_with_a_very_large_user_units_are_always_shuffled(monkeypatch):
    groups = [0] * 200 + list(range(1, 701))
    bins = category_bins(["a"] * 200 + ["b"] * 700, ["a", "b"] * 450).counts
    of = units(groups, [f"c{number}" for number in range(900)])
    [shuffled] = shifts([bins], of, permutations=299, seed=1)

    monkeypatch.setattr(statistics, "_MANY_UNITS", 1_000)

    [again] = shifts([bins], of, permutations=299, seed=1)
    assert again.expected == pytest.approx(shuffled.expected)


def test_rows_of_one_user_change_sides_together():
    rng = np.random.default_rng(0)
    users = [str(user) for user in np.repeat(np.arange(40), 25)]
    lengths = np.repeat(rng.normal(size=40), 25).tolist()
    bins = numeric_bins(lengths[:500], lengths[500:]).counts

    [naive] = shifts([bins], units(500, 500), permutations=999, seed=1)
    [grouped] = shifts([bins], units(users[:500], users[500:]), permutations=999, seed=1)

    assert naive.p_value <= 0.001
    assert grouped.p_value > 0.05


def test_shuffles_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    bins = numeric_bins(rng.normal(size=100).tolist(), rng.normal(size=100).tolist()).counts

    def run(seed):
        return shifts([bins], units(100, 100), permutations=299, seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_p_value_counts_the_observation_itself():
    assert p_value_of(2.5, np.array([1.0, 2.0, 3.0]), smallest=0) == 0.5
    assert p_value_of(1.0, np.full(99, 1.0), smallest=0) == 1
    assert p_value_of(2.0, np.full(99, 1.0), smallest=0) == 0.01  # without any spread there is no tail


@pytest.mark.parametrize("freedom", [3, 9, 60])
def test_beyond_the_largest_shuffle_the_tail_is_that_of_chi_squared_sums(freedom):
    shuffled = stats.chi2.rvs(freedom, size=1_999, random_state=3)
    observed = stats.chi2.isf(1e-6, freedom)

    assert -7.5 < math.log10(p_value_of(observed, shuffled, smallest=0)) < -5


def test_no_p_value_is_below_what_so_few_users_can_give():
    of = units(["a", "b", "c"], ["d", "e", "f"])

    assert of.smallest_p == pytest.approx(1 / 20)
    assert p_value_of(1e6, np.random.default_rng(0).random(999), smallest=of.smallest_p) <= 1 / 1000


def test_holm_adjusts_for_the_number_of_tests():
    assert holm([0.01, 0.04, 0.03, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.9])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_makes_a_p_value_smaller(p_values):
    adjusted = holm(p_values)

    assert all(low <= high <= 1 for low, high in zip(p_values, adjusted, strict=True))
    assert [adjusted[index] for index in np.argsort(p_values, kind="stable")] == sorted(adjusted)


@settings(max_examples=25)
@given(st.integers(1, 5_000), st.floats(0.001, 0.5))
def test_checks_together_never_spend_more_than_alpha(checks, alpha):
    spent = [alpha_of(number, alpha) for number in range(1, checks + 1)]

    assert sum(spent) < alpha
    assert spent == sorted(spent, reverse=True)


@pytest.mark.parametrize(("number", "alpha"), [(0, 0.05), (1, 0.0), (1, 1.0)])
def test_a_check_without_a_number_or_a_chance_spends_nothing(number, alpha):
    with pytest.raises(ValueError, match=r"Check number|alpha"):
        alpha_of(number, alpha)
