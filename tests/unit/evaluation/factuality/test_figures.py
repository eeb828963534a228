"""Numbers, dates, times and addresses are the same however they are written."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.scoring.factuality.figures import agrees, contradicts, find_figures, find_names


def one(text):
    (figure,) = find_figures(text)
    return figure


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1,000", "1.000"),
        ("1\u202f000", "1000"),
        ("1'000'000", "1 million"),
        ("1.234,50 EUR", "€1,234.50"),
        ("$5m", "5 million dollars"),
        ("5 %", "5 per cent"),
        ("5 percent", "5%"),
        ("150 cm", "1.5 metres"),
        ("1,5 m", "1.5 m"),
        ("two weeks", "14 days"),
        ("14 Tage", "2 Wochen"),
        ("90 min", "1.5 hours"),
        ("\u22125 °C", "-5 ° C"),
        ("5 March 2020", "2020-03-05"),
        ("March 5th, 2020", "5. März 2020"),
        ("5 de marzo de 2020", "5 mars 2020"),
        ("05/03/2020", "5 March 2020"),
        ("05/03/2020", "May 3, 2020"),
        ("5.3.20", "5 March 2020"),
        ("5pm", "17:00"),
        ("9.30 a.m.", "09:30"),
        ("https://www.who.int/news/", "who.int/news"),
        ("Write to Help@Example.org", "help@example.org"),
    ],
)
def test_two_spellings_of_one_figure_agree(left, right):
    assert agrees(one(left), one(right))
    assert agrees(one(right), one(left))


@pytest.mark.parametrize(
    ("claimed", "given_"),
    [
        ("14 days", "10 days"),
        ("2 weeks", "2 days"),
        ("$5", "€5"),
        ("5 March 2020", "6 March 2020"),
        ("5.3.2020", "3 May 2020"),
        ("5pm", "5am"),
        ("who.int/news", "who.int/about"),
        ("1.5", "15"),
    ],
)
def test_different_figures_do_not_agree(claimed, given_):
    assert not agrees(one(claimed), one(given_))


def test_a_date_follows_from_a_fuller_one_and_not_the_other_way_round():
    assert agrees(one("March 2020"), one("5 March 2020"))
    assert not agrees(one("5 March 2020"), one("March 2020"))


@pytest.mark.parametrize(
    ("claimed", "given_", "expected"),
    [
        ("10 days", "14 days", True),
        ("10 days", "two weeks", True),
        ("10 patients", "12 patients", True),
        ("10 patients", "12 nurses", False),
        ("10 days", "10 days", False),
        ("10", "12", False),
        ("6 March 2020", "5 March 2020", True),
        ("5 March 2020", "March 2020", False),
        ("who.int", "cdc.gov", False),
    ],
)
def test_only_what_measures_the_same_contradicts(claimed, given_, expected):
    assert contradicts(one(claimed), one(given_)) is expected


def test_a_range_gives_both_its_ends_the_unit():
    low, high = find_figures("It takes 2-3 weeks.")

    assert agrees(low, one("14 days"))
    assert agrees(high, one("21 days"))


@pytest.mark.parametrize(
    "text", ["COVID-19 and SARS-CoV-2", "the second", "sold out", "We may march on", "e.g. this"]
)
def test_what_only_looks_like_a_figure_is_none(text):
    assert find_figures(text) == []


@given(st.integers(min_value=1_000, max_value=10**12))
def test_thousands_are_read_with_every_separator(number):
    for separator in (",", ".", " ", "\u00a0", "'"):
        assert agrees(one(f"{number:,}".replace(",", separator)), one(str(number)))


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2199, 12, 31)))
def test_every_day_is_the_same_in_every_form(day):
    for written in (
        f"{day.day} {day:%B} {day.year}",
        f"{day:%B} {day.day}, {day.year}",
        f"{day.day}.{day.month}.{day.year}",
        f"{day.month}/{day.day}/{day.year}",
    ):
        assert agrees(one(day.isoformat()), one(written)), written


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text):
    for figure in find_figures(text):
        assert figure.values
        assert figure.text


def test_a_verb_before_a_number_is_no_month():
    assert [figure.kind for figure in find_figures("Set 5 alarms, it ran out 3 times.")] == [
        "number",
        "number",
    ]


def test_names_are_capitalised_runs_within_a_sentence():
    names = find_names(
        "Yesterday Angela Merkel visited the University of Oxford in March. Then Boris Johnson left Kent."
    )

    assert [name.text for name in names] == ["Angela Merkel", "University of Oxford", "Boris Johnson", "Kent"]


@pytest.mark.parametrize(
    "text",
    [
        "Der Hund und die Katze sitzen auf dem Tisch im Haus am See",
        "WASH YOUR HANDS WITH SOAP AND WATER EVERY DAY PLEASE",
        "Please wash your hands",
        "",
    ],
)
def test_no_names_are_taken_from_german_nouns_or_shouting(text):
    assert find_names(text) == []
