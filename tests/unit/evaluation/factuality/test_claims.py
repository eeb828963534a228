"""An answer is cut into clauses that each say something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.scoring.factuality.claims import find_claims
from gateway_tuning.evaluation.scoring.factuality.words import content_keys, count_negations


def clauses(text):
    return [claim.text for claim in find_claims(text)]


def test_sentences_list_items_and_long_clauses_are_claims_of_their_own():
    text = (
        "Dr. Smith opened the clinic in May. Patients bring a signed form; nurses check every signature. Steps:\n"
        "1. Wash both hands well\n2. Dry them with paper"
    )

    assert clauses(text) == [
        "Dr. Smith opened the clinic in May.",
        "Patients bring a signed form;",
        "nurses check every signature.",
        "Steps:",
        "Wash both hands well",
        "Dry them with paper",
    ]


def test_a_short_clause_is_read_with_its_neighbour():
    assert clauses("Yes: wash your hands with warm soap") == ["Yes: wash your hands with warm soap"]


def test_scripts_without_spaces_are_cut_at_their_own_marks():
    assert clauses("これは本です。それは水です。") == ["これは本です。", "それは水です。"]


@pytest.mark.parametrize("text", ["", "   ", "...", "It is what it is.", "\n\n- \n"])
def test_a_text_without_content_claims_nothing(text):
    assert find_claims(text) == []


def test_questions_are_marked():
    assert [claim.is_question for claim in find_claims("Do masks protect nurses? Masks protect nurses.")] == [
        True,
        False,
    ]


@given(st.text(max_size=400))
def test_no_content_word_of_a_text_is_lost(text):
    found = {key for claim in find_claims(text) for key in claim.keys}

    assert found == set(content_keys(text)) or any(len(line) > 590 for line in text.splitlines())


def test_a_text_without_punctuation_is_cut_between_words():
    claims = find_claims("word " * 1000)

    assert all(len(claim.text) <= 600 for claim in claims)
    assert sum(claim.text.split().count("word") for claim in claims) == 1000


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("You can't do that", 1),
        ("It is so", 0),
        ("No, it is closed", 0),
        ("No, it is not closed", 1),
        ("Ce n'est pas vrai", 1),
        ("Il n'a jamais menti", 1),
        ("No lo sabe nadie", 1),
        ("Das ist kein Problem", 1),
        ("Non è niente", 1),
    ],
)
def test_negations_are_counted_once_in_each_language(text, count):
    assert count_negations(text) == count


def test_one_word_in_two_forms_has_one_key():
    assert content_keys("masks") == content_keys("the mask's") == content_keys("MASK")
    assert content_keys("café") == content_keys("cafe\u0301s")
