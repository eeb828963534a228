from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from gateway_tuning.training.cost.actual import cost_of_job
from gateway_tuning.training.cost.price_file import price_book
from gateway_tuning.training.cost.prices import Price, PriceBook, Tariff, Unit
from gateway_tuning.training.job import JobStatus, TuningSpec
from gateway_tuning.training.jobs import TuningJob

NOW = datetime(2026, 11, 26, tzinfo=UTC)
OURS = price_book(None, today=NOW.date())


def ended(provider, model, metrics, *, created_at=NOW):
    return TuningJob(
        "key",
        "t",
        TuningSpec(provider, model, "ds-1"),
        JobStatus.SUCCEEDED,
        "p1",
        "",
        metrics,
        created_at,
        NOW,
    )


def own(*prices):
    rows = tuple(
        Price(provider, "*", unit, Decimal(amount), "USD", date(2026, 1, 1), "own", NOW.date(), own=True)
        for provider, unit, amount in prices
    )
    return OURS.with_own(PriceBook(rows))


def test_openais_trained_tokens_are_multiplied_by_its_price():
    entry = cost_of_job(ended("openai", "gpt-4.1-mini-2025-04-14", {"tokens": 200_000.0}), now=NOW, book=OURS)

    assert (entry.amount, entry.currency) == (Decimal(1), "USD")
    assert entry.note == "200,000 tokens at 5.00 USD"


def test_list_prices_of_the_provider_are_told_as_a_guess_where_another_server_did_the_job():
    job = ended("openai", "gpt-4.1-mini-2025-04-14", {"tokens": 200_000.0})

    entry = cost_of_job(job, now=NOW, book=OURS, is_elsewhere=True)

    assert entry.amount == Decimal(1)
    assert entry.note.endswith("a guess: these are prices of openai, and another server did it")


def test_a_price_that_the_provider_tells_has_the_last_word():
    entry = cost_of_job(ended("together", "any/model", {"tokens": 1e6, "cost": 7.25}), now=NOW, book=OURS)

    assert (entry.amount, entry.note) == (Decimal("7.25"), "together told this price")


def test_the_first_month_of_storage_comes_on_top():
    entry = cost_of_job(ended("bedrock", "amazon.nova-micro-v1:0:128k", {"tokens": 1e6}), now=NOW, book=OURS)

    assert entry.amount == Decimal("2.95")


@pytest.mark.parametrize(("tokens", "amount"), [(1e5, "6"), (1e7, "12")])
def test_a_job_below_the_minimum_costs_the_minimum(tokens, amount):
    book = own(("mistral", Unit.MILLION_TOKENS, "1"))

    entry = cost_of_job(ended("mistral", "open-mistral-7b", {"tokens": tokens}), now=NOW, book=book)

    assert entry.amount == Decimal(amount)


def test_seconds_of_ones_own_machine_cost_what_its_hour_costs():
    book = own(("llama", Unit.TRAINING_HOUR, "1.80"))

    entry = cost_of_job(ended("llama", "m", {"train_seconds": 1200.0, "tokens": 5.0}), now=NOW, book=book)

    assert (entry.amount, entry.note) == (Decimal("0.6"), "1200 seconds at 1.80 USD")


@pytest.mark.parametrize(
    ("job", "note"),
    [
        (ended("llama", "m", {"train_seconds": 1200.0}), "the price of llama is not known, its usage is"),
        (
            ended("openai", "gpt-4.1-mini-2025-04-14", {}),
            "the price of openai is not known, and neither is its usage",
        ),
        (ended("mistral", "m", {"tokens": 1.0}), "the price of mistral is not known, its usage is"),
        (ended("stranger", "m", {"tokens": 1.0}), "the price of stranger is not known, its usage is"),
    ],
)
def test_without_a_price_or_a_figure_the_amount_is_unknown_and_never_zero(job, note):
    entry = cost_of_job(job, now=NOW, book=OURS)

    assert (entry.amount, entry.currency, entry.note) == (None, None, note)


def test_storage_in_another_currency_makes_the_amount_unknown():
    prices = tuple(
        Price("acme", "*", unit, Decimal(1), currency, date(2026, 1, 1), "own", NOW.date())
        for unit, currency in ((Unit.MILLION_TOKENS, "USD"), (Unit.MODEL_MONTH, "EUR"))
    )
    book = PriceBook(prices, (Tariff("acme", (Unit.MILLION_TOKENS, Unit.MODEL_MONTH), "own"),))

    assert cost_of_job(ended("acme", "m", {"tokens": 1e6}), now=NOW, book=book).amount is None


def test_the_price_of_the_day_of_the_declaration_counts():
    job = ended("openai", "gpt-4.1-nano-2025-04-14", {"tokens": 1e6})
    before = replace(job, created_at=datetime(2026, 10, 1, tzinfo=UTC))

    assert cost_of_job(job, now=NOW, book=OURS).amount is None
    assert cost_of_job(before, now=NOW, book=OURS).amount == Decimal("1.5")


def test_a_price_in_another_currency_than_the_tariffs_is_paid_in_that_one():
    entry = cost_of_job(ended("mistral", "m", {"tokens": 1e6, "cost_eur": 4.5}), now=NOW, book=OURS)

    assert (entry.amount, entry.currency) == (None, None)  # storage is in dollars, and is not known in euros
    failed = replace(ended("mistral", "m", {"cost_eur": 4.5}), status=JobStatus.FAILED)
    entry = cost_of_job(failed, now=NOW, book=OURS)
    assert (entry.amount, entry.currency) == (Decimal("4.5"), "EUR")


def test_a_job_that_failed_left_no_model_to_be_stored():
    job = replace(ended("bedrock", "amazon.nova-micro-v1:0:128k", {"tokens": 1e6}), status=JobStatus.FAILED)

    assert cost_of_job(job, now=NOW, book=OURS).amount == Decimal(1)


@pytest.mark.parametrize("metrics", [{"cost": -5.0}, {"tokens": -1e6}])
def test_a_figure_below_zero_is_none(metrics):
    entry = cost_of_job(ended("openai", "gpt-4.1-mini-2025-04-14", metrics), now=NOW, book=OURS)

    assert (entry.amount, entry.usage) == (None, {})
