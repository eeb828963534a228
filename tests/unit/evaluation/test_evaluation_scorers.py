import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.scorers import accuracy, word_set_similarity


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


def test_an_answer_at_the_threshold_is_not_right():
    assert accuracy([0.7, 0.71, 0.1, 1.0], 0.7) == 0.5


def test_accuracy_without_answers_is_unknown():
    assert accuracy([], 0.7) is None
