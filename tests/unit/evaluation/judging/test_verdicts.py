"""What two orders mean together, and how far a judge can be believed."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.judging.measures import agreement, position_bias, share
from gateway_tuning.evaluation.judging.trust import trust
from gateway_tuning.evaluation.judging.verdict import Failed, Judgement, Outcome, Pair, Question, Verdict
from gateway_tuning.evaluation.result import JudgeSummary

FIRST, SECOND, TIE = Verdict.FIRST, Verdict.SECOND, Verdict.TIE


def outcome(ours_first, ours_second, group="g", number=0):
    return Outcome(
        Pair(f"p{number}", f"{group}{number}", "q", "ours", "theirs"),
        Judgement(ours_first, ""),
        Judgement(ours_second, ""),
    )


def test_only_two_orders_that_agree_decide():
    preferences = {
        (first, second): outcome(first, second).preference
        for first, second in itertools.product(Verdict, Verdict)
    }

    assert [orders for orders, value in preferences.items() if value == 1.0] == [(FIRST, SECOND)]
    assert [orders for orders, value in preferences.items() if value == 0.0] == [(SECOND, FIRST)]
    assert list(preferences.values()).count(0.5) == 7


def test_orders_that_disagree_are_a_contradiction_and_a_tie_in_both_is_none():
    contradicted = {
        (first, second)
        for first, second in itertools.product(Verdict, Verdict)
        if outcome(first, second).is_contradicted
    }

    assert contradicted == set(itertools.product(Verdict, Verdict)) - {
        (FIRST, SECOND),
        (SECOND, FIRST),
        (TIE, TIE),
    }


def test_a_pair_without_one_of_its_verdicts_has_no_preference():
    half = Outcome(outcome(FIRST, FIRST).pair, Judgement(FIRST, ""), Failed("gone"))

    assert (half.preference, half.is_contradicted, half.was_asked) == (None, False, True)


def test_the_key_of_a_question_knows_every_part_of_it():
    question = Question("q", "one", "two", None)
    others = [
        Question("q", "two", "one", None),
        Question("qone", "", "two", None),
        Question("q", "one", "two", ""),
        Question("q2", "one", "two", None),
    ]
    keys = [each.key("judge", "1", "rubric") for each in (question, *others)]
    keys += [
        question.key("judge2", "1", "rubric"),
        question.key("judge", "2", "rubric"),
        question.key("judge", "1", "r"),
    ]

    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)


def test_position_bias_is_of_decided_judgements_in_pairs_judged_twice():
    outcomes = [
        outcome(FIRST, FIRST, number=1),
        outcome(FIRST, SECOND, number=2),
        outcome(TIE, FIRST, number=3),
    ]
    half = Outcome(outcome(FIRST, FIRST, number=4).pair, Judgement(FIRST, ""), Failed("gone"))

    bias = position_bias([*outcomes, half], level=0.95)

    assert (bias.first.value, bias.first.trials) == (4 / 5, 5)
    assert (bias.contradicted.value, bias.contradicted.trials) == (2 / 3, 3)


def test_a_judge_without_verdicts_has_no_bias_and_no_agreement():
    bias = position_bias([], level=0.95)

    assert (bias.first.value, bias.first.low, bias.contradicted.value) == (None, None, None)
    assert agreement([], level=0.95).value is None


def test_no_difference_agrees_with_people_by_half():
    outcomes = [
        outcome(FIRST, SECOND, number=1),
        outcome(FIRST, FIRST, number=2),
        outcome(SECOND, FIRST, number=3),
    ]

    assert agreement(outcomes, level=0.95).value == 0.5


def test_the_interval_of_independent_trials_is_wilsons_but_for_the_few_degrees_of_freedom():
    # Wilson's, of 40 of 100 at 95 %: 0.3094 to 0.4980.
    plain = share([1.0] * 4000 + [0.0] * 6000, [1] * 10_000, range(10_000), level=0.95)
    few = share([1.0] * 40 + [0.0] * 60, [1] * 100, range(100), level=0.95)

    assert (plain.low, plain.high) == pytest.approx((0.39044, 0.40964), abs=1e-4)
    assert few.low == pytest.approx(0.3094, abs=3e-3)
    assert few.high == pytest.approx(0.4980, abs=3e-3)
    assert few.low < 0.3094


def test_of_five_trials_the_spread_itself_is_hardly_known_and_the_interval_says_so():
    five = share([1.0, 1.0, 1.0, 0.0, 0.0], [1] * 5, range(5), level=0.95)

    assert five.low < 0.16  # Wilson's: 0.2307 to 0.8824
    assert five.high > 0.92


def test_what_people_of_one_group_say_counts_less_than_what_as_many_groups_say():
    hits = [1.0] * 30 + [0.0] * 10
    apart = share(hits, [1] * 40, range(40), level=0.95)
    together = share(hits, [1] * 40, [number // 10 for number in range(40)], level=0.95)

    assert together.low < apart.low < apart.value < apart.high < together.high
    assert share(hits, [1] * 40, ["one"] * 40, level=0.95).low is None
    assert (
        share([1.0] * 40, [1] * 40, range(40), level=0.95).low
        > share([1.0] * 40, [1] * 40, [number // 10 for number in range(40)], level=0.95).low
    )


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=1, max_size=40))
def test_an_interval_holds_its_share_and_stays_between_0_and_1(trials):
    found = share([hit for hit, _ in trials], [1] * len(trials), [group for _, group in trials], level=0.9)

    assert found.value == pytest.approx(np.mean([hit for hit, _ in trials]))
    if found.low is not None:
        assert -1e-9 <= found.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.high <= 1 + 1e-9


def test_intervals_of_clustered_shares_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(5)
    held = 0
    for _ in range(1_000):
        rates = random.beta(7, 3, size=25)
        hits = (random.random((25, 6)) < rates[:, None]).astype(float).ravel()
        found = share(hits.tolist(), [1] * 150, np.repeat(np.arange(25), 6).tolist(), level=0.95)
        held += found.low <= 0.7 <= found.high

    assert held >= 930


def summary(**fields):
    known = {
        "model": "judge-1",
        "pairs": 10,
        "failed": 0,
        "first_share": 0.5,
        "contradicted": 0.1,
        "agreement": 0.8,
        "agreement_low": 0.6,
        "agreement_high": 0.9,
        "labels": 40,
        "requests": 20,
        "cached": 0,
        "spent": None,
        "currency": None,
    }
    return JudgeSummary(**(known | fields))


@pytest.mark.parametrize(
    ("judge", "trusted", "reason"),
    [
        (summary(), True, "shares 80 % of 40 preferences of people (60 % to 90 %), more than chance"),
        (summary(agreement_low=0.5), False, "which may be chance"),
        (summary(agreement_low=None, agreement_high=None), False, "all of one group"),
        (summary(agreement=None, agreement_low=None, labels=0), False, "was not held against people"),
        (None, False, "No judge was asked"),
    ],
)
def test_a_judge_is_trusted_only_if_it_agrees_with_people_beyond_chance(judge, trusted, reason):
    found = trust(judge)

    assert found.may_be_trusted is trusted
    assert reason in found.reason
