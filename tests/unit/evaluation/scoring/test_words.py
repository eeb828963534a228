"""Figures of ROUGE-L and chrF are those of rouge-score 0.1.2 and sacrebleu 2.6.0."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.quality.shingles import split_words
from gateway_tuning.evaluation.scoring.protocol import Item
from gateway_tuning.evaluation.scoring.words.sequences import chrf, rouge_l
from gateway_tuning.evaluation.scoring.words.similarity import (
    SIMILARITY,
    accuracy_above,
    exact_match,
    length_ratio,
    token_f1,
    word_set_similarity,
)

few_words = st.lists(st.sampled_from("abcde"), max_size=12).map(" ".join)


def item(answer, reference):
    return Item("Why?", answer, reference)


@pytest.mark.parametrize(
    ("answer", "preferred", "similarity"),
    [
        ("Restart the router.", "restart THE router", 1.0),
        ("a b c", "b c d", 0.5),
        ("a a a b", "a b", 1.0),
        ("it's done", "it s done", 1.0),
        ("yes", "no", 0.0),
        ("", "no", 0.0),
        ("", "", 0.0),
        ("...", "!!!", 0.0),
    ],
)
def test_similarity_is_the_share_of_common_words(answer, preferred, similarity):
    assert word_set_similarity(answer, preferred) == similarity


@given(st.text(), st.text())
def test_similarity_is_symmetric_and_between_zero_and_one(one, other):
    assert 0 <= word_set_similarity(one, other) == word_set_similarity(other, one) <= 1


@pytest.mark.parametrize(("answer", "right"), [("a b c d", 1.0), ("a b c", 1.0), ("a b", 0.0), ("x", 0.0)])
def test_an_answer_at_the_threshold_is_not_right(answer, right):
    (score,) = accuracy_above(0.5).score([item(answer, "a b c d")])

    assert score.value == right


def test_another_threshold_is_another_version():
    assert accuracy_above(0.5).version != accuracy_above(0.7).version


def test_without_a_preferred_answer_the_score_is_unknown():
    (score,) = SIMILARITY.score([item("a b", None)])

    assert score.value is None
    assert score.notes == ("There is no preferred answer to compare with",)


@pytest.mark.parametrize(
    ("answer", "preferred", "f1"),
    [
        ("The cat sat.", "a cat sat", 1.0),
        ("it's", "its", 1.0),
        ("cat cat", "cat", 2 / 3),
        ("cat dog", "dog bird", 0.5),
        ("der Hund", "Hund", 2 / 3),
        ("退货 吗", "退货", 0.8),
        ("\uff46\uff55\uff4c\uff4c width", "full width", 1.0),
        ("the", "a", 1.0),
        ("the", "dog", 0.0),
    ],
)
def test_word_f1_counts_each_word_as_often_as_it_stands_there(answer, preferred, f1):
    assert token_f1(answer, preferred) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "preferred", "equal"),
    [
        (" 42\n", "42", 1.0),
        ("a  b", "a b", 1.0),
        ("cafe\u0301", "caf\u00e9", 1.0),
        ("-5", "5", 0.0),
        ("Paris", "paris", 0.0),
        ("Paris.", "Paris", 0.0),
    ],
)
def test_a_match_is_exact_but_for_white_space(answer, preferred, equal):
    assert exact_match(answer, preferred) == equal


@pytest.mark.parametrize(
    ("answer", "preferred", "ratio"),
    [("a b", "a b c d", 0.5), ("a b c d", "x y", 0.5), ("x", "", 0.0), ("", "", 1.0), ("退货", "退", 0.5)],
)
def test_lengths_are_compared_whichever_is_longer(answer, preferred, ratio):
    assert length_ratio(answer, preferred) == ratio


PUBLISHED = [
    ("the cat sat on the mat", "the cat is on the mat", 0.645779, 0.833333),
    (
        "Restart the router, then wait two minutes.",
        "Wait two minutes and restart the router.",
        0.727010,
        0.428571,
    ),
    ("abc", "abd", 0.388889, 0.0),
    ("a", "a b c d e f g h", 0.151515, 0.222222),
    ("police kill the gunman", "police killed the gunman", 0.762404, 0.75),
]


@pytest.mark.parametrize(("answer", "preferred", "expected", "_rouge"), PUBLISHED)
def test_chrf_is_that_of_the_published_implementation(answer, preferred, expected, _rouge):
    assert chrf(answer, preferred) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("answer", "preferred", "_chrf", "expected"), PUBLISHED)
def test_rouge_l_is_that_of_the_published_implementation(answer, preferred, _chrf, expected):
    assert rouge_l(answer, preferred) == pytest.approx(expected, abs=1e-6)


def test_rouge_l_reads_scripts_that_the_published_implementation_does_not():
    assert rouge_l("Где моя посылка?", "где посылка") == pytest.approx(0.8)
    assert rouge_l("退货需要多久", "退货多久") == pytest.approx(0.8)


@given(few_words, few_words)
def test_rouge_l_finds_the_longest_common_subsequence_of_the_textbook(answer, preferred):
    ours, theirs = split_words(answer), split_words(preferred)

    @cache
    def longest(left, right):
        if not left or not right:
            return 0
        if ours[left - 1] == theirs[right - 1]:
            return longest(left - 1, right - 1) + 1
        return max(longest(left - 1, right), longest(left, right - 1))

    both = len(ours) + len(theirs)
    expected = 2 * longest(len(ours), len(theirs)) / both if ours and theirs else float(ours == theirs)
    assert rouge_l(answer, preferred) == expected


@given(st.text(), st.text())
def test_chrf_stays_within_its_bounds_and_knows_a_text_again(one, other):
    assert 0 <= chrf(one, other) <= 1
    assert chrf(one, one) == pytest.approx(1.0)
