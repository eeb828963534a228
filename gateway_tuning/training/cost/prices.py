"""Prices of tuning as data: who charges for what, at which rate, since when, and where that is written. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase

from gateway_tuning.errors import ConfigurationError


class Unit(StrEnum):
    """What an amount is for. The last three are of serving: they are shown, and in no job's estimate."""

    MILLION_TOKENS = "million_training_tokens"
    TRAINING_HOUR = "training_hour"
    MODEL_MONTH = "model_month"
    JOB_MINIMUM = "job_minimum"
    PROVISIONED_HOUR = "provisioned_hour"
    MILLION_READ = "million_input_tokens"
    MILLION_WRITTEN = "million_output_tokens"


USE = (Unit.MILLION_TOKENS, Unit.TRAINING_HOUR)


def plain(model: str) -> str:
    """The id in the ARN of a foundation model; any other name as it is."""
    return model.rsplit("foundation-model/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of `currency` for a `unit`, from `valid_from` on and before `valid_until`.

    `model` is a name or a pattern such as `gpt-4o-*`; no `methods`: all. `checked_on` is the last day on which `source`
    is known to have said so. `own`: from the user's price file.
    """

    provider: str
    model: str
    unit: Unit
    amount: Decimal
    currency: str
    valid_from: date
    source: str
    checked_on: date
    methods: tuple[str, ...] = ()
    valid_until: date | None = None
    note: str = ""
    own: bool = False

    def is_for(self, provider: str, model: str, method: str, unit: Unit, on: date) -> bool:
        return (
            (self.provider, self.unit) == (provider, unit)
            and fnmatchcase(plain(model), self.model)
            and (not self.methods or method in self.methods)
            and self.valid_from <= on
            and (self.valid_until is None or on < self.valid_until)
        )


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a provider charges for at all: each of these units needs a price before the cost of a job is known."""

    provider: str
    charges: tuple[Unit, ...]
    source: str
    methods: tuple[str, ...] = ()
    note: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class OwnTokenizer:
    """A `tokenizer.json` of the user's, for base models whose name matches `model`."""

    provider: str
    model: str
    path: str


@dataclass(frozen=True, slots=True)
class PriceBook:
    prices: tuple[Price, ...] = ()
    tariffs: tuple[Tariff, ...] = ()
    tokenizers: tuple[OwnTokenizer, ...] = ()

    def price(self, provider: str, model: str, method: str, unit: Unit, *, on: date) -> Price | None:
        """The one that counts on a day; None: not known.

        The user's own before ours, an exact name before a pattern, a longer pattern before a shorter, then the newest.
        """
        found = [price for price in self.prices if price.is_for(provider, model, method, unit, on)]
        return max(found, key=lambda price: _rank(price, model), default=None)

    def tariff(self, provider: str, method: str) -> Tariff | None:
        found = [
            tariff
            for tariff in self.tariffs
            if tariff.provider == provider and (not tariff.methods or method in tariff.methods)
        ]
        return max(found, key=lambda tariff: (tariff.own, bool(tariff.methods)), default=None)

    def tokenizer(self, provider: str, model: str) -> str | None:
        """Path of the user's own."""
        found = [
            one
            for one in self.tokenizers
            if one.provider in {provider, "*"} and fnmatchcase(model, one.model)
        ]
        return max(found, key=lambda one: len(one.model)).path if found else None

    def with_own(self, own: "PriceBook") -> "PriceBook":
        return PriceBook(
            (*self.prices, *own.prices), (*self.tariffs, *own.tariffs), (*self.tokenizers, *own.tokenizers)
        )


def _rank(price: Price, model: str) -> tuple[bool, bool, bool, int, date]:
    return (price.own, price.model == plain(model), bool(price.methods), len(price.model), price.valid_from)


def refuse_faults(book: PriceBook, *, where: str, today: date) -> None:
    """Raises ConfigurationError that names the row: no source, a date that cannot be, or two rows for one thing."""
    for fault in _faults(book, today):
        raise ConfigurationError(f"{where}: {fault}")


def _faults(book: PriceBook, today: date) -> Iterable[str]:
    seen: set[tuple[str, str, Unit, str, date]] = set()
    for price in book.prices:
        named = f"the price of {price.unit} of {price.model!r} at {price.provider}"
        if price.amount < 0:
            yield f"{named} is {price.amount}; an amount is 0 or more, and a price that is not known is left out"
        if not price.own and not price.source.startswith("https://"):
            yield f"{named} has no source; say by `source` where it is written"
        if price.checked_on > today:
            yield f"{named} was checked on {price.checked_on}, which is to come"
        if price.valid_until is not None and price.valid_until <= price.valid_from:
            yield f"{named} ends on {price.valid_until}, before it begins on {price.valid_from}"
        for method in price.methods or ("",):
            key = (price.provider, price.model, price.unit, method, price.valid_from)
            if key in seen:
                yield f"{named} stands there twice for {price.valid_from}; leave one out"
            seen.add(key)
    for tariff in book.tariffs:
        if not tariff.charges or not set(USE) & set(tariff.charges):
            yield f"the tariff of {tariff.provider} charges for no use; give {' or '.join(USE)}"
