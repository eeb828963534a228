"""What an example is told apart by."""

import pytest

from gateway_tuning.evaluation.facets import facets_of, language_of_prompt

ALL = ("topic", "language", "segment", "length", "feedback_type")


def test_what_nobody_can_tell_is_absent(make_example):
    assert facets_of(make_example(1), ALL) == {"feedback_type": "correction", "length": "short"}
    assert facets_of(make_example(1, feedback_types=()), ["feedback_type"]) == {}
    assert facets_of(make_example(1), ALL, {"topic": lambda _example: None}).keys() == {
        "feedback_type",
        "length",
    }


def test_only_the_fields_that_were_asked_for_are_told(make_example):
    told = {"topic": lambda example: f"about {example.id}", "language": lambda _example: "en"}

    assert facets_of(make_example(1), ["topic"], told) == {"topic": "about ex001"}


def test_several_kinds_of_feedback_are_one_value_in_any_order(make_example):
    types = ("thumbs_up", "correction", "thumbs_up")

    assert facets_of(make_example(1, feedback_types=types), ["feedback_type"]) == {
        "feedback_type": "correction+thumbs_up"
    }


@pytest.mark.parametrize(
    ("prompt", "length"),
    [
        ("word " * 11, "short"),
        ("word " * 12, "medium"),
        ("word " * 40, "medium"),
        ("word " * 41, "long"),
        ("?", "short"),
        ("我的订单在哪里", "short"),
        ("我的订单在哪里呢请您尽快告诉我", "medium"),
        ("ご注文" * 20, "long"),
    ],
)
def test_length_goes_by_words_and_by_characters_where_nothing_stands_between_words(
    make_example, prompt, length
):
    assert facets_of(make_example(1, prompt), ["length"]) == {"length": length}


def test_the_language_is_told_where_the_prompt_is_long_enough(make_example):
    pytest.importorskip("py3langid", reason="the enrichment extra is not installed")
    language_of = language_of_prompt()

    assert language_of(make_example(1, "Wo bleibt meine Bestellung vom letzten Dienstag?")) == "de"
    assert language_of(make_example(1, "Wo?")) is None
