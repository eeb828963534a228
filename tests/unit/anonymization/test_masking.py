import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.anonymization.masking import mask
from gateway_tuning.anonymization.recognition import Span
from gateway_tuning.errors import AnonymizationError

PLACEHOLDER = re.compile(r"<[A-Z_]+_\d+>")


def spans_of(text: str, values: dict[str, str], score: float = 0.85) -> list[Span]:
    """Every occurrence of each value (value -> entity), whole word or not."""
    return [
        Span(found.start(), found.end(), entity, score)
        for value, entity in values.items()
        for found in re.finditer(re.escape(value), text)
    ]


def masked(fields: dict[str, str], values: dict[str, str]) -> dict[str, str]:
    return mask(fields, {name: spans_of(text, values) for name, text in fields.items()}).fields


def test_a_name_found_in_the_prompt_has_the_same_placeholder_in_the_answer_and_the_correction():
    fields = {"prompt": "I am Ann Lee", "response": "Hello Ann Lee", "correction": "Hi ANN  LEE, Bob is here"}

    result = mask(
        fields, {"prompt": [Span(5, 12, "PERSON", 0.9)], "correction": [Span(13, 16, "PERSON", 0.9)]}
    )

    assert result.fields == {
        "prompt": "I am <PERSON_1>",
        "response": "Hello <PERSON_1>",
        "correction": "Hi <PERSON_1>, <PERSON_2> is here",
    }
    assert result.entities == {"PERSON": 4}


def test_numbers_follow_the_first_appearance_in_field_order():
    assert masked({"a": "Bo and Al", "b": "Al and Cy"}, {"Al": "PERSON", "Bo": "PERSON", "Cy": "PERSON"}) == {
        "a": "<PERSON_1> and <PERSON_2>",
        "b": "<PERSON_2> and <PERSON_3>",
    }


@pytest.mark.parametrize(
    ("entity", "first", "second"),
    [
        ("EMAIL_ADDRESS", "Ann@Example.com", "ann@example.COM"),
        ("PHONE_NUMBER", "+1 415-555-2671", "(415) 555 2671"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("PERSON", "Ann  Lee", "ann lee"),
        ("PERSON", "Ann Lee's", "Ann Lee"),
        ("PERSON", "Jos\u00e9 Pe\u00f1a", "Jose\u0301 Pen\u0303a"),
    ],
)
def test_two_spellings_of_a_value_share_a_number(entity, first, second):
    fields = {"a": first, "b": second}

    spans = {name: [Span(0, len(text), entity, 0.9)] for name, text in fields.items()}

    assert mask(fields, spans).fields == {"a": f"<{entity}_1>", "b": f"<{entity}_1>"}


def test_a_value_seen_as_two_entities_gets_the_surer_one_everywhere():
    result = mask(
        {"a": "Florence", "b": "Florence"},
        {"a": [Span(0, 8, "LOCATION", 0.5)], "b": [Span(0, 8, "PERSON", 0.9)]},
    )

    assert result.fields == {"a": "<PERSON_1>", "b": "<PERSON_1>"}


def test_a_repeated_value_inside_a_longer_word_stays():
    fields = {"a": "Al", "b": "Also Al"}

    assert mask(fields, {"a": [Span(0, 2, "PERSON", 0.9)]}).fields["b"] == "Also <PERSON_1>"


def test_one_word_is_repeated_in_its_own_case_only():
    fields = {"a": "Mark", "b": "mark it, Mark"}

    assert mask(fields, {"a": [Span(0, 4, "PERSON", 0.9)]}).fields["b"] == "mark it, <PERSON_1>"


def test_of_overlapping_spans_the_longest_is_kept_and_the_rest_of_the_other_goes_too():
    text = "write ann lee@example.com now"
    spans = [Span(6, 13, "PERSON", 0.9), Span(10, 25, "EMAIL_ADDRESS", 0.5)]

    for order in (spans, spans[::-1]):
        assert mask({"a": text}, {"a": order}).fields["a"] == "write <PERSON_1> <EMAIL_ADDRESS_1> now"


def test_of_equal_spans_the_best_score_wins():
    spans = [Span(0, 3, "LOCATION", 0.4), Span(0, 3, "PERSON", 0.9)]

    assert mask({"a": "Ann"}, {"a": spans}).fields["a"] == "<PERSON_1>"


def test_a_placeholder_in_the_original_keeps_its_number_for_itself():
    fields = {"a": "You wrote <PERSON_1> and <PERSON_3>", "b": "Ann, Bob and Cy"}

    assert masked(fields, {"Ann": "PERSON", "Bob": "PERSON", "Cy": "PERSON"}) == {
        "a": "You wrote <PERSON_1> and <PERSON_3>",
        "b": "<PERSON_2>, <PERSON_4> and <PERSON_5>",
    }


def test_what_a_model_took_into_a_placeholder_is_still_masked_where_something_else_finds_it():
    text = "Ship it to <PERSON_1> 90210 today"
    spans = [Span(11, 27, "LOCATION", 0.85), Span(22, 27, "POSTAL_CODE", 0.5)]

    assert mask({"a": text}, {"a": spans}).fields == {"a": "Ship it to <PERSON_1> <POSTAL_CODE_1> today"}
    assert mask({"a": text}, {"a": spans[:1]}).fields == {"a": text}


def test_what_only_resembles_a_placeholder_protects_nothing():
    text = "<ANNLEE_1> <PERSON_4155552671> <PERSON_0>"

    result = mask({"a": text}, {"a": [Span(1, 7, "PERSON", 0.9), Span(19, 29, "PHONE_NUMBER", 0.9)]})

    assert "ANNLEE" not in result.fields["a"]
    assert "4155552671" not in result.fields["a"]


def test_offsets_count_code_points_behind_emoji_and_combining_characters():
    text = "\U0001f469\u200d\U0001f4bb e\u0301 Ann \U0001f600 Ann"

    assert masked({"a": text}, {"Ann": "PERSON"})["a"] == (
        "\U0001f469\u200d\U0001f4bb e\u0301 <PERSON_1> \U0001f600 <PERSON_1>"
    )


@pytest.mark.parametrize("span", [Span(0, 9, "PERSON", 1), Span(-1, 2, "PERSON", 1), Span(2, 2, "PERSON", 1)])
def test_a_span_outside_its_text_is_refused_without_quoting_the_text(span):
    with pytest.raises(AnonymizationError, match="prompt has a span outside its 5 characters") as caught:
        mask({"prompt": "Zelda"}, {"prompt": [span]})

    assert "Zelda" not in str(caught.value)


def test_spans_of_an_unknown_field_are_refused():
    with pytest.raises(AnonymizationError, match="answer has spans and no text"):
        mask({"prompt": "x"}, {"answer": [Span(0, 1, "PERSON", 1)]})


WORDS = st.sampled_from(
    [
        "Ann",
        "Lee",
        "Ann Lee",
        "ANN",
        "x@y.z",
        "+1 415",
        "<PERSON_1>",
        "<",
        ">",
        "_1>",
        "PERSON",
        "to",
        "\n",
        "'s",
        "\u00e9",
        "7",
    ]
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from(["", " ", "  "]))).map(
    lambda parts: "".join(map("".join, parts))
)
FIELDS = st.dictionaries(st.sampled_from(["prompt", "response", "correction"]), TEXTS, min_size=1)
VALUES = st.dictionaries(
    st.sampled_from(["Ann", "Lee", "Ann Lee", "x@y.z", "y.z", "+1 415", "PERSON", "nn", "7", "Ann  "]),
    st.sampled_from(["PERSON", "LOCATION", "EMAIL_ADDRESS", "PHONE_NUMBER"]),
)


@given(FIELDS, VALUES)
def test_masking_the_result_again_changes_nothing(fields, values):
    once = masked(fields, values)

    assert masked(once, values) == once
    assert mask(once, {}).fields == once


@given(FIELDS, VALUES)
def test_nothing_of_any_span_is_left_outside_placeholders(fields, values):
    once = masked(fields, values)

    for text in once.values():
        rest = PLACEHOLDER.sub("<>", text)
        assert not [value for value in values if value in rest]


@given(FIELDS, st.data())
def test_any_spans_leave_the_rest_of_the_text_as_it_was(fields, data):
    spans = {}
    for name, text in fields.items():
        ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(
            lambda pair: pair[0] < pair[1]
        )
        made = st.builds(lambda pair, score: Span(*pair, "PERSON", score), ends, st.floats(0, 1))
        spans[name] = data.draw(st.lists(made, max_size=4)) if text else []

    result = mask(fields, spans)

    for name, text in fields.items():
        kept = map(re.escape, PLACEHOLDER.split(result.fields[name]))
        assert re.fullmatch(r"(?s:.+?)".join(kept), text)
