"""What the answers of a canary's arms took: tokens, and their price by the table where it is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gateway_tuning.storage.database import reading
from gateway_tuning.storage.tables import model_versions, outcomes
from gateway_tuning.training.cost.prices import PriceBook, Unit

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one arm and one version that answered it: its own, or the stable one that helped out.

    `read` and `written` are tokens of the answers that told their usage, `untold` counts those that did not, `failed`
    the requests without an answer. `cost` is of the tokens told and None where a price is not known: `note` says which.
    """

    arm: str
    version_id: str
    requests: int
    failed: int
    untold: int
    read: int
    written: int
    cost: Decimal | None
    currency: str | None
    note: str | None = None


def spending(engine: sa.Engine, canary_id: str, *, prices: PriceBook, on: date) -> tuple[Spent, ...]:
    """Canary first, then control; by the prices of the day `on`."""
    table = outcomes.c
    answering = sa.func.coalesce(table.answered_by, table.version_id)
    failed = table.error.is_not(None) & table.answered_by.is_(None)
    untold = ~failed & (table.prompt_tokens.is_(None) | table.completion_tokens.is_(None))
    told = ~failed & table.prompt_tokens.is_not(None) & table.completion_tokens.is_not(None)
    sums = (
        sa.select(
            table.arm,
            answering.label("version_id"),
            sa.func.count().label("requests"),
            _sum(failed, 1).label("failed"),
            _sum(untold, 1).label("untold"),
            _sum(told, table.prompt_tokens).label("read"),
            _sum(told, table.completion_tokens).label("written"),
        )
        .where(table.canary_id == canary_id, table.arm.in_(("canary", "control")))
        .group_by(table.arm, answering)
        .subquery()
    )
    query = (
        sa.select(sums, model_versions.c.provider, model_versions.c.base_model)
        .join(model_versions, model_versions.c.id == sums.c.version_id, isouter=True)
        .order_by(sums.c.arm, sums.c.version_id)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return tuple(
        Spent(
            row.arm,
            row.version_id,
            row.requests,
            int(row.failed),
            int(row.untold),
            int(row.read),
            int(row.written),
            *_cost(prices, row, on=on),
        )
        for row in rows
    )


def total(spent: Sequence[Spent]) -> tuple[Decimal, str] | None:
    """Of all arms; None where a part is not known or the currencies differ."""
    currencies = {one.currency for one in spent}
    known = [one.cost for one in spent if one.cost is not None]
    if len(known) < len(spent) or len(currencies) != 1 or any(one.untold for one in spent):
        return None
    return sum(known, Decimal(0)), currencies.pop() or ""


def _cost(
    prices: PriceBook, row: "sa.Row[Any]", *, on: date
) -> tuple[Decimal | None, str | None, str | None]:
    """Amount, currency, and why there is none."""
    provider, model = row.provider, row.base_model
    if provider is None:
        return None, None, "the registry does not know this version"
    read = prices.price(provider, model, "", Unit.MILLION_READ, on=on)
    written = prices.price(provider, model, "", Unit.MILLION_WRITTEN, on=on)
    if read is None or written is None:
        return None, None, f"no price of a token of {model} at {provider} is known"
    if read.currency != written.currency:
        return None, None, f"the prices are in {read.currency} and {written.currency}"
    cost = (int(row.read) * read.amount + int(row.written) * written.amount) / _MILLION
    return cost, read.currency, None


def _sum(where: sa.ColumnElement[bool], value: sa.ColumnElement[int] | int) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((where, value), else_=0))
