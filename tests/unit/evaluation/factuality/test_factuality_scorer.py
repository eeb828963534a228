"""Factuality falls with what no source bears out, and says which claims those are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.datasets.example import Turn
from gateway_tuning.evaluation.scoring.factuality.scorer import FactualityScorer
from gateway_tuning.evaluation.scoring.protocol import Item

SOURCE = (
    "Stay at home for 14 days after close contact. Masks do not replace distance: keep 1.5 metres from others. "
    "The clinic in Sydney opens on 5 March 2020 at 9am. Details stand at https://www.health.example.org/contact."
)


def score(answer, reference=SOURCE, *, prompt="What should I do?", context=None, messages=()):
    (found,) = FactualityScorer().score([Item(prompt, answer, reference, context, messages)])
    return found


def test_what_the_reference_says_is_fully_supported():
    assert score(SOURCE).value == pytest.approx(1.0)
    assert score(SOURCE).notes == ()


def test_other_spellings_of_the_same_figures_are_supported():
    assert score("Stay at home for 14 days after close contact, keep 150 cm from others.").notes == ()
    assert score("The clinic in Sydney opens on 2020-03-05 at 09:00.").value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("true", "false", "told"),
    [
        ("Stay at home for 14 days.", "Stay at home for 10 days.", "10 days"),
        ("Keep 1.5 metres from others.", "Keep 15 metres from others.", "15 metres"),
        (
            "The clinic in Sydney opens on 5 March 2020.",
            "The clinic in Sydney opens on 6 March 2020.",
            "6 march 2020",
        ),
        ("The clinic in Sydney opens at 9am.", "The clinic in Sydney opens at 9pm.", "9pm"),
        ("The clinic in Sydney opens.", "The clinic in Perth opens.", "Perth"),
        ("Masks do not replace distance.", "Masks replace distance.", "negated on one side alone"),
        (
            "Details: health.example.org/contact",
            "Details: health.example.org/about",
            "health.example.org/about",
        ),
    ],
)
def test_one_wrong_detail_lowers_the_value_and_is_listed(true, false, told):
    assert score(false).value < score(true).value
    assert any(told in note for note in score(false).notes)
    assert score(true).notes == ()


def test_a_figure_that_the_source_gives_differently_is_told_with_the_source():
    (note,) = score("Stay at home for 10 days after close contact.").notes

    assert "the source has 14 days" in note


def test_an_answer_about_something_else_has_next_to_no_support():
    assert score("Bananas ripen faster beside apples because of ethylene.").value == 0.0


def test_value_is_weighted_by_what_clauses_say():
    true = "Stay at home for 14 days after close contact."
    assert (
        score(f"{true} Bananas ripen.").value
        > score(f"{true} Bananas ripen faster beside green apples today.").value
    )


def test_what_the_user_said_counts_as_known():
    answer = "Your flight to Lisbon leaves on Monday."

    assert score(answer, "Bring a passport.").value == 0.0
    assert (
        score(answer, "Bring a passport.", prompt="When does my flight to Lisbon on Monday leave?").value
        > 0.7
    )
    assert score(
        answer, "Bring a passport.", messages=(Turn("user", "My flight to Lisbon leaves on Monday."),)
    ).value == pytest.approx(1.0)


def test_what_the_assistant_said_before_is_no_evidence():
    answer = "Your flight to Lisbon leaves on Monday."

    assert score(answer, "Bring a passport.", messages=(Turn("assistant", answer),)).value == 0.0


def test_the_user_is_put_right_without_a_mark_of_contradiction():
    found = score("Stay at home for 14 days after close contact.", prompt="I stay at home for 3 days, right?")

    assert found.value == pytest.approx(1.0)


def test_a_context_is_evidence_where_there_is_no_reference():
    assert score("Stay at home for 14 days.", None, context=SOURCE).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("answer", "reference", "context", "reason"),
    [
        ("Stay at home.", None, None, "neither a reference nor a context"),
        ("Stay at home.", "  ", "", "neither a reference nor a context"),
        ("Stay at home.", "...", None, "no word or figure"),
        ("Stay at home.", None, "You are a helpful assistant.", "fewer than 20"),
        ("", SOURCE, None, "claims nothing"),
        ("Which one?", SOURCE, None, "claims nothing"),
    ],
)
def test_unknown_is_none_with_the_reason(answer, reference, context, reason):
    found = score(answer, reference, context=context)

    assert found.value is None
    assert reason in found.notes[0]


def test_notes_are_few_and_short():
    answer = " ".join(f"Giraffe number {number} eats {'leaves ' * 60}on hills." for number in range(3, 20))

    notes = score(answer).notes
    assert len(notes) == 5
    assert all(len(note) <= 165 for note in notes)


@pytest.mark.parametrize(
    ("source", "true", "false"),
    [
        ("Bleiben Sie 14 Tage zu Hause.", "Sie bleiben 2 Wochen zu Hause.", "Sie bleiben 10 Tage zu Hause."),
        (
            "Le magasin n'est pas ouvert le lundi.",
            "Le magasin n'est pas ouvert le lundi.",
            "Le magasin est ouvert le lundi.",
        ),
        (
            "La tienda abre el 5 de marzo de 2020.",
            "La tienda abre el 05/03/2020.",
            "La tienda abre el 7 de marzo de 2020.",
        ),
        ("请在家隔离十四天。", "请在家隔离十四天。", "请去商店购买香蕉。"),
    ],
)
def test_other_languages_are_read_by_the_same_rules(source, true, false):
    assert score(true, source).value > score(false, source).value


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=80))
def test_any_texts_have_a_value_in_range_or_a_reason(answer, reference, prompt):
    found = score(answer, reference, prompt=prompt)

    assert found.notes if found.value is None else 0 <= found.value <= 1


@given(st.text(min_size=1, max_size=200), st.text(max_size=80))
def test_a_text_always_bears_itself_out(text, prompt):
    found = score(text, text, prompt=prompt)

    assert found.value is None or found.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    "piece", ["word ", "7 km. ", "漢字。", "Ab Of The ", "a.b@", "- \n", "1,", "5 March 2020. "]
)
def test_a_hundred_thousand_characters_of_anything_end(piece):
    text = (piece * 100_000)[:100_000]

    found = score(text[5:], text)
    assert found.value is None or found.value > 0.9
