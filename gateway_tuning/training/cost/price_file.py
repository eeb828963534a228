"""The price table that comes with the package, and the user's own: TOML, checked where it is read."""

import tomllib
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.training.cost.prices import OwnTokenizer, Price, PriceBook, Tariff, Unit, refuse_faults

_NAME = Field(min_length=1)
OWN_SOURCE = "own"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _PriceRow(_Row):
    provider: str = _NAME
    model: str = Field("*", min_length=1)
    methods: tuple[str, ...] = ()
    unit: Unit
    amount: Decimal = Field(allow_inf_nan=False)
    currency: str = Field("USD", pattern=r"[A-Z]{3}")
    valid_from: date
    valid_until: date | None = None
    source: str = OWN_SOURCE
    checked_on: date | None = None
    note: str = ""

    def price(self, *, own: bool) -> Price:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return Price(**{**fields, "checked_on": self.checked_on or self.valid_from, "own": own})


class _TariffRow(_Row):
    provider: str = _NAME
    methods: tuple[str, ...] = ()
    charges: tuple[Unit, ...]
    source: str = OWN_SOURCE
    note: str = ""


class _TokenizerRow(_Row):
    provider: str = Field("*", min_length=1)
    model: str = Field("*", min_length=1)
    path: str = _NAME


class _File(_Row):
    price: tuple[_PriceRow, ...] = ()
    tariff: tuple[_TariffRow, ...] = ()
    tokenizer: tuple[_TokenizerRow, ...] = ()

    def book(self, *, own: bool) -> PriceBook:
        return PriceBook(
            tuple(row.price(own=own) for row in self.price),
            tuple(Tariff(**row.model_dump(), own=own) for row in self.tariff),
            tuple(OwnTokenizer(**row.model_dump()) for row in self.tokenizer),
        )


def price_book(own: Path | None, *, today: date) -> PriceBook:
    """Ours, and the user's own before it where there is a `price_file`.

    Raises:
        ConfigurationError: the user's file cannot be read, or a row of it cannot be right.
    """
    ours = parse(packaged_text(), where="prices.toml", own=False, today=today)
    if own is None:
        return ours
    try:
        text = own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The price file {own} cannot be read: {error}") from error
    return ours.with_own(parse(text, where=str(own), own=True, today=today))


def packaged_text() -> str:
    return files("gateway_tuning.training.cost").joinpath("prices.toml").read_text(encoding="utf-8")


def parse(text: str, *, where: str, own: bool, today: date) -> PriceBook:
    """Raises ConfigurationError that names the file and the row."""
    try:
        rows: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)
        book = _File.model_validate(rows).book(own=own)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where} is no TOML: {error}") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigurationError(f"{where}: {told}. docs/how-to/costs.md shows the rows") from None
    refuse_faults(book, where=where, today=today)
    return book
