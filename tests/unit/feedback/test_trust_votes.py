from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.feedback.votes import Vote, agreement, krippendorff_alpha, resolve
from tests.conftest import NOW


def vote(key, score, *, rater=None, minutes=0):
    return Vote(key, rater or key, score, NOW + timedelta(minutes=minutes))


def test_the_majority_of_raters_decides_and_the_score_is_theirs():
    verdict = resolve([vote("a", 0.4), vote("b", 0.6), vote("c", -1.0)])

    assert [won.key for won in verdict.winners] == ["a", "b"]
    assert [lost.key for lost in verdict.losers] == ["c"]
    assert verdict.score == pytest.approx(0.5)


def test_a_tie_decides_nothing_however_strong_the_words():
    verdict = resolve([vote("a", 1.0), vote("b", -0.1)])

    assert (verdict.winners, verdict.score, len(verdict.losers)) == ((), None, 2)


def test_a_rater_has_one_vote_and_it_is_the_latest():
    many = [vote(f"x{minute}", 1.0, rater="x", minutes=minute) for minute in range(5)]
    changed = vote("x9", -1.0, rater="x", minutes=9)

    verdict = resolve([changed, *many])

    assert verdict.winners == (changed,)
    assert len(verdict.superseded) == 5


votes = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.sampled_from([-1.0, -0.5, 0.5, 1.0]), st.integers(0, 3)),
    max_size=12,
)


@given(votes, st.randoms(use_true_random=False))
def test_every_vote_is_accounted_for_once_and_order_does_not_matter(cast, chance):
    given_ = [vote(str(i), score, rater=rater, minutes=at) for i, (rater, score, at) in enumerate(cast)]
    verdict = resolve(given_)
    shuffled = list(given_)
    chance.shuffle(shuffled)

    parts = [*verdict.winners, *verdict.losers, *verdict.superseded]
    assert sorted(one.key for one in parts) == sorted(one.key for one in given_)
    assert len(verdict.winners) > len(verdict.losers) or not verdict.winners
    assert resolve(shuffled) == verdict


def test_agreement_is_told_for_each_answer_and_each_rater():
    def rating(answer, **scores):
        return resolve(vote(f"{answer}-{rater}", score, rater=rater) for rater, score in scores.items())

    found = agreement(
        [
            rating("one", a=1, b=1, c=-1),
            rating("two", a=1, b=1),
            rating("three", a=-1, c=1),
            rating("four", a=1),
        ]
    )

    assert found.by_answer == {"one-a": pytest.approx(1 / 3), "two-a": 1.0, "three-a": 0.0}
    assert (found.by_rater["b"].compared, found.by_rater["b"].agreed) == (
        1,
        1,
    )  # on "one" the others are split
    assert (found.by_rater["c"].compared, found.by_rater["c"].agreed) == (2, 0)


def test_agreement_without_anything_to_compare_is_unknown():
    found = agreement([resolve([vote("a", 1.0)])])

    assert (found.by_answer, found.by_rater, found.share, found.alpha) == ({}, {}, None, None)


def test_alpha_is_the_figure_of_the_textbook_and_none_when_all_votes_are_alike():
    # Two observers, ten articles, nominal and binary data: Krippendorff 2011, section A gives 0.095.
    one, other = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    units = [(a + b, 2 - a - b) for a, b in zip(one, other, strict=True)]

    assert krippendorff_alpha(units) == pytest.approx(0.095, abs=0.0005)
    assert krippendorff_alpha([(2, 0), (3, 0)]) is None
    assert krippendorff_alpha([(2, 0), (0, 2)]) == 1
