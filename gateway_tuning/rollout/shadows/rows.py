"""Shadows and their pairs as rows of the store. Money is kept as text: databases differ in how they round decimals."""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from gateway_tuning.rollout.shadows.shadow import Pair, Shadow, TokenPrices
from gateway_tuning.storage.tables import shadows


def row_of(shadow: Shadow) -> dict[str, Any]:
    prices = shadow.prices
    kept = {name: getattr(shadow, name) for name in shadows.c.keys() if hasattr(shadow, name)}  # noqa: SIM118
    return kept | {
        "budget": _stored(shadow.budget),
        "spent": _stored(shadow.spent),
        "held": _stored(shadow.held),
        "currency": None if prices is None else prices.currency,
        "input_price": None if prices is None else str(prices.read),
        "output_price": None if prices is None else str(prices.written),
        "reasons": list(shadow.reasons),
    }


def shadow_of(row: "sa.Row[Any]") -> Shadow:
    prices = None
    if row.input_price is not None:
        prices = TokenPrices(Decimal(row.input_price), Decimal(row.output_price), row.currency)
    return Shadow(
        id=row.id,
        tenant=row.tenant,
        model=row.model,
        candidate=row.candidate,
        control=row.control,
        share=row.share,
        max_requests=row.max_requests,
        salt=row.salt,
        started_by=row.started_by,
        started_at=row.started_at,
        ends_at=row.ends_at,
        prices=prices,
        budget=_decimal(row.budget),
        spent=_decimal(row.spent),
        held=_decimal(row.held),
        requests=row.requests,
        state=row.state,
        reasons=tuple(row.reasons),
        finished_at=row.finished_at,
    )


def pair_of(row: "sa.Row[Any]") -> Pair:
    return Pair(**{**row._mapping, "cost": _decimal(row.cost)})  # noqa: SLF001 - SQLAlchemy's public name


def _stored(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
