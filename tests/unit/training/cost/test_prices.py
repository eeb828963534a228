from datetime import date
from decimal import Decimal

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.cost.price_file import packaged_text, parse, price_book
from gateway_tuning.training.cost.prices import USE, Unit

TODAY = date(2026, 11, 26)
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0:128k"


@pytest.fixture(scope="module")
def ours():
    return price_book(None, today=TODAY)


def own(text):
    return parse(text, where="my.toml", own=True, today=TODAY)


def row(**changes):
    fields = {
        "provider": '"acme"',
        "model": '"m"',
        "unit": '"training_hour"',
        "amount": '"2"',
        "valid_from": "2026-01-01",
    }
    return "[[price]]\n" + "\n".join(f"{name} = {value}" for name, value in (fields | changes).items()) + "\n"


def test_every_packaged_price_has_a_source_a_date_that_has_been_and_a_tariff_that_charges_for_it(ours):
    for price in ours.prices:
        assert price.source.startswith("https://")
        assert price.valid_from <= price.checked_on <= TODAY
        tariff = ours.tariff(price.provider, (*price.methods, "supervised")[0])
        assert price.unit in tariff.charges
    assert len({price.provider for price in ours.prices}) == 5


def test_the_packaged_table_stays_right_whenever_it_is_read():
    assert parse(packaged_text(), where="prices.toml", own=False, today=date(2030, 1, 1)).prices


@pytest.mark.parametrize(
    ("provider", "model", "method", "amount"),
    [
        ("openai", "gpt-4.1-mini-2025-04-14", "supervised", "5.00"),
        ("openai", "gpt-4o-2024-08-06", "dpo", "25.00"),
        ("bedrock", NOVA, "supervised", "1.00"),
        ("together", "openai/gpt-oss-20b", "dpo", "1.00"),
        ("fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", "supervised", "0.50"),
        ("fireworks", "accounts/fireworks/models/qwen3-30b-a3b", "supervised", "3.00"),
    ],
)
def test_the_price_of_a_million_tokens_is_known_for(ours, provider, model, method, amount):
    price = ours.price(provider, model, method, Unit.MILLION_TOKENS, on=TODAY)

    assert price.amount == Decimal(amount)


@pytest.mark.parametrize(
    ("provider", "model", "method"),
    [
        ("openai", "gpt-4.1-nano-2025-04-14", "supervised"),  # no longer sold
        ("openai", "gpt-4o-2024-08-06", "reinforcement"),
        ("bedrock", "amazon.nova-pro-v1:0", "supervised"),
        ("mistral", "open-mistral-7b", "supervised"),
        ("fireworks", "accounts/fireworks/models/mixtral-8x7b-instruct", "supervised"),
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b", "supervised"),
        ("fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", "dpo"),
    ],
)
def test_a_price_that_is_not_in_the_table_is_not_known(ours, provider, model, method):
    assert ours.price(provider, model, method, Unit.MILLION_TOKENS, on=TODAY) is None


def test_ones_own_price_goes_before_ours_even_when_it_is_older(ours, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[[price]]\nprovider = "openai"\nmodel = "*"\nunit = "million_training_tokens"\n'
        'amount = "2.5"\nvalid_from = 2026-01-01\n'
    )

    price = price_book(mine, today=TODAY).price(
        "openai", "gpt-4.1-2025-04-14", "supervised", Unit.MILLION_TOKENS, on=TODAY
    )

    assert (price.amount, price.own) == (Decimal("2.5"), True)


def test_the_newest_price_counts_and_one_to_come_does_not_count_yet():
    book = own(
        row(amount='"1"')
        + row(amount='"2"', valid_from="2026-06-01")
        + row(amount='"3"', valid_from="2027-01-01", checked_on="2026-11-01")
    )

    def on(day):
        return book.price("acme", "m", "supervised", Unit.TRAINING_HOUR, on=day).amount

    assert [on(date(2026, 5, 31)), on(TODAY), on(date(2027, 1, 1))] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[price", "is no TOML"),
        (row(amount='"-1"'), "a price that is not known is left out"),
        (row(amount='"NaN"'), "amount"),
        (row(currency='"usd"'), "currency"),
        (row(unit='"token"'), "unit"),
        (row(colour='"red"'), "colour"),
        (row() + row(), "stands there twice"),
        (row(checked_on="2027-01-01"), "which is to come"),
        (row(valid_until="2025-01-01"), "before it begins"),
        ('[[tariff]]\nprovider = "acme"\ncharges = ["model_month"]', "charges for no use"),
    ],
)
def test_a_price_file_that_cannot_be_right_is_refused_by_name_and_row(text, told):
    with pytest.raises(ConfigurationError, match=told) as refused:
        own(text)

    assert "my.toml" in str(refused.value)


def test_a_packaged_price_without_a_source_is_refused():
    with pytest.raises(ConfigurationError, match="has no source"):
        parse(row(), where="prices.toml", own=False, today=TODAY)


def test_a_price_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml cannot be read"):
        price_book(tmp_path / "nowhere.toml", today=TODAY)


def test_every_tariff_charges_for_tokens_or_hours(ours):
    assert all(set(tariff.charges) & set(USE) for tariff in ours.tariffs)
