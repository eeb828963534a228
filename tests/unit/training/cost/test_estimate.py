from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.training.cost.estimate import Ask, Confidence, Pace, estimate
from gateway_tuning.training.cost.passes import Passes
from gateway_tuning.training.cost.prices import Price, PriceBook, Tariff, Unit
from gateway_tuning.training.cost.tokens import TokenCount

TODAY = date(2026, 11, 26)
THREE = Passes(Decimal(3), is_set=True, told="3 epochs")
EXACT = TokenCount(100_000, 500, "the tokenizer of m", Decimal(0))
ASK = Ask("acme", "m", "supervised", EXACT, THREE, max_hours=Decimal(6))


def price(unit, amount, *, currency="USD", checked_on=TODAY):
    return Price(
        "acme", "m", unit, Decimal(amount), currency, date(2026, 1, 1), "https://acme.example", checked_on
    )


def book(*prices, charges=None):
    units = charges or tuple(one.unit for one in prices)
    return PriceBook(tuple(prices), (Tariff("acme", units, "https://acme.example"),))


BY_TOKENS = book(price(Unit.MILLION_TOKENS, "10"))


def test_tokens_are_what_all_epochs_read_and_the_margin_comes_on_top():
    found = estimate(ASK, BY_TOKENS, today=TODAY)

    assert (found.tokens, found.expected, found.ceiling) == (300_000, Decimal(3), Decimal("3.6"))
    assert (found.confidence, found.reasons) == (Confidence.HIGH, ())


def test_all_parts_are_summed():
    prices = book(
        price(Unit.MILLION_TOKENS, "10"), price(Unit.MODEL_MONTH, "2"), price(Unit.TRAINING_HOUR, "1")
    )

    found = estimate(replace(ASK, pace=Pace((Decimal(100_000),) * 3)), prices, today=TODAY)

    assert {part.name: part.amount for part in found.parts} == {"tokens": 3, "storage": 2, "compute": 3}
    assert (found.expected, found.hours) == (8, 3)


@pytest.mark.parametrize(("minimum", "expected"), [("4", "4"), ("1", "3")])
def test_a_job_costs_the_minimum_at_least(minimum, expected):
    found = estimate(
        ASK, book(price(Unit.MILLION_TOKENS, "10"), price(Unit.JOB_MINIMUM, minimum)), today=TODAY
    )

    assert found.expected == Decimal(expected)


def test_validation_is_paid_for_at_every_look_where_the_provider_charges_it():
    looked_at = replace(
        ASK,
        validation=replace(EXACT, tokens=10_000),
        passes=Passes(Decimal(1), is_set=True, told="", through_validation=5),
    )

    assert estimate(looked_at, BY_TOKENS, today=TODAY).tokens == 150_000


@pytest.mark.parametrize(
    ("prices", "missing"),
    [
        (
            book(price(Unit.MILLION_TOKENS, "10"), charges=(Unit.MILLION_TOKENS, Unit.MODEL_MONTH)),
            "model month",
        ),
        (book(charges=(Unit.TRAINING_HOUR,)), "training hour"),
        (PriceBook(), "what acme charges for is not known"),
        (book(price(Unit.MILLION_TOKENS, "1"), price(Unit.MODEL_MONTH, "1", currency="EUR")), "one currency"),
    ],
)
def test_a_part_that_is_not_known_makes_the_whole_unknown_and_never_zero(prices, missing):
    found = estimate(ASK, prices, today=TODAY)

    assert (found.expected, found.ceiling, found.confidence) == (None, None, Confidence.UNKNOWN)
    assert missing in found.missing


def test_epochs_that_nobody_tells_make_the_tokens_unknown():
    found = estimate(
        replace(ASK, passes=Passes(None, is_set=False, told="set epochs")), BY_TOKENS, today=TODAY
    )

    assert (found.expected, found.missing) == (None, "set epochs")


def test_hours_without_a_history_are_those_after_which_the_job_is_stopped():
    found = estimate(ASK, book(price(Unit.TRAINING_HOUR, "100")), today=TODAY)

    assert (found.expected, found.confidence) == (600, Confidence.LOW)
    assert "limit of 6" in found.why


def test_hours_of_a_history_are_its_middle_and_no_more_than_the_limit():
    prices = book(price(Unit.TRAINING_HOUR, "1"))
    slow, fast = (
        replace(ASK, pace=Pace((Decimal(1),))),
        replace(ASK, pace=Pace(tuple(map(Decimal, (1, 150_000, 10**9))))),
    )

    assert estimate(slow, prices, today=TODAY).expected == 6
    assert estimate(fast, prices, today=TODAY).expected == 2
    assert estimate(fast, prices, today=TODAY).confidence is Confidence.MEDIUM


@pytest.mark.parametrize(
    ("error", "confidence", "ceiling"),
    [("0", Confidence.HIGH, "3.6"), ("0.15", Confidence.MEDIUM, "3.6"), ("0.6", Confidence.LOW, "4.8")],
)
def test_a_count_that_may_be_wrong_lowers_the_confidence_and_widens_the_margin(error, confidence, ceiling):
    found = estimate(replace(ASK, training=replace(EXACT, error=Decimal(error))), BY_TOKENS, today=TODAY)

    assert (found.confidence, found.ceiling) == (confidence, Decimal(ceiling))


@pytest.mark.parametrize(
    ("changed", "prices", "reason"),
    [
        ({"passes": replace(THREE, is_set=False)}, BY_TOKENS, "3 epochs"),
        ({}, book(price(Unit.MILLION_TOKENS, "10", checked_on=date(2026, 5, 1))), "last seen on 2026-05-01"),
    ],
)
def test_what_is_less_than_sure_is_a_reason_for_medium_confidence(changed, prices, reason):
    found = estimate(replace(ASK, **changed), prices, today=TODAY)

    assert found.confidence is Confidence.MEDIUM
    assert reason in found.why


def test_prices_of_the_provider_are_a_guess_for_another_server_and_ones_own_are_none():
    ours = price(Unit.MILLION_TOKENS, "25")
    elsewhere = replace(ASK, is_elsewhere=True)

    guessed = estimate(elsewhere, book(ours), today=TODAY)
    own = estimate(elsewhere, book(replace(ours, own=True)), today=TODAY)

    assert (guessed.confidence, "another server is asked" in guessed.why) == (Confidence.LOW, True)
    assert (own.confidence, own.expected) == (Confidence.HIGH, guessed.expected)


@given(
    st.integers(0, 10**9),
    st.decimals("0.0001", "1000", places=4),
    st.decimals(1, 50, places=1),
    st.decimals(0, 1, places=2),
)
def test_more_tokens_never_cost_less_and_no_less_is_set_aside_than_is_expected(tokens, amount, epochs, error):
    ask = replace(
        ASK,
        training=replace(EXACT, tokens=tokens, error=error),
        passes=Passes(epochs, is_set=True, told=""),
    )
    prices = book(price(Unit.MILLION_TOKENS, amount))
    one = estimate(ask, prices, today=TODAY)
    more = estimate(replace(ask, training=replace(ask.training, tokens=tokens + 1000)), prices, today=TODAY)

    assert 0 <= one.expected <= more.expected
    assert one.ceiling >= one.expected
