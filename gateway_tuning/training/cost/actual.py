"""What a job that has ended did cost, by the provider's own figures. Pure.

A provider that tells the price has the last word; else its tokens or its seconds are multiplied by the price list.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway_tuning.training.cost.entry import TRAINING, CostEntry
from gateway_tuning.training.cost.estimate import MILLION, MONTHS_STORED, rounded
from gateway_tuning.training.cost.prices import Price, PriceBook, Unit
from gateway_tuning.training.job import JobStatus
from gateway_tuning.training.jobs import TuningJob

COST = "cost"  # a job's metric: the price that the provider told, in the currency of its tariff
COST_IN = "cost_"  # the same in the currency that the name goes on with, such as cost_eur
TOKENS, SECONDS = "tokens", "train_seconds"
_USAGE = (TOKENS, SECONDS, "steps", COST)  # of a job's metrics
_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class _Bill:
    amount: Decimal
    currency: str
    told: str


def cost_of_job(
    job: TuningJob, *, now: datetime, book: PriceBook | None = None, is_elsewhere: bool = False
) -> CostEntry:
    """Of a job that has ended. Without a price, what it used stands for the amount.

    `is_elsewhere`: another server with the provider's API did it, so the provider's list prices are a guess.
    """
    usage = {name: value for name, value in job.metrics.items() if _is_usage(name) and value >= 0}
    bill = None if book is None else _bill(job, usage, book, is_elsewhere=is_elsewhere)
    told = "its usage is" if usage else "and neither is its usage"
    return CostEntry(
        id=job.key,
        tenant=job.tenant,
        purpose=TRAINING,
        object_id=job.key,
        provider=job.spec.provider,
        created_at=now,
        note=f"the price of {job.spec.provider} is not known, {told}" if bill is None else bill.told,
        amount=None if bill is None else bill.amount,
        currency=None if bill is None else bill.currency,
        usage=usage,
    )


def _is_usage(name: str) -> bool:
    return name in _USAGE or (name.startswith(COST_IN) and len(name) == len("cost_eur"))


def _bill(job: TuningJob, usage: dict[str, float], book: PriceBook, *, is_elsewhere: bool) -> _Bill | None:
    """At the prices of the day on which the job was declared."""
    spec, tariff = job.spec, book.tariff(job.spec.provider, job.spec.method)
    if tariff is None:
        return None
    prices = {
        unit: book.price(spec.provider, spec.base_model, spec.method, unit, on=job.created_at.date())
        for unit in tariff.charges
    }
    storage = prices.pop(Unit.MODEL_MONTH, None)
    use = _told(spec.provider, usage, prices) or _listed(
        spec.provider, usage, prices, is_elsewhere=is_elsewhere
    )
    # A job that did not succeed left no model to be stored.
    if use is None or Unit.MODEL_MONTH not in tariff.charges or job.status is not JobStatus.SUCCEEDED:
        return use
    if storage is None:
        return None
    if storage.currency != use.currency:
        return None
    kept = rounded(MONTHS_STORED * storage.amount)
    return _Bill(use.amount + kept, use.currency, f"{use.told}, and a month of storage at {storage.amount}")


def _told(provider: str, usage: dict[str, float], prices: dict[Unit, Price | None]) -> _Bill | None:
    for name, told in usage.items():
        if name.startswith(COST_IN):
            return _Bill(rounded(Decimal(str(told))), name[-3:].upper(), f"{provider} told this price")
    if COST in usage:
        currency = next((price.currency for price in prices.values() if price is not None), "USD")
        return _Bill(rounded(Decimal(str(usage[COST]))), currency, f"{provider} told this price")
    return None


def _listed(
    provider: str, usage: dict[str, float], prices: dict[Unit, Price | None], *, is_elsewhere: bool
) -> _Bill | None:
    parts, currencies = [], set()
    for unit, price in prices.items():
        if price is None:
            return None
        currencies.add(price.currency)
        if unit is Unit.JOB_MINIMUM:
            continue
        used = _used(usage, unit)
        if used is None:
            return None
        parts.append(
            (rounded(used * price.amount), f"{_figure(unit, used)} at {price.amount} {price.currency}")
        )
    if len(currencies) != 1 or not parts:
        return None
    amount, told_of = sum((part for part, _ in parts), Decimal(0)), ", ".join(text for _, text in parts)
    minimum = prices.get(Unit.JOB_MINIMUM)
    if minimum is not None and amount < minimum.amount:
        amount, told_of = minimum.amount, f"the least that a job costs; it used {told_of}"
    if is_elsewhere and not all(price is None or price.own for price in prices.values()):
        told_of = f"{told_of}, a guess: these are prices of {provider}, and another server did it"
    return _Bill(amount, currencies.pop(), told_of)


def _used(usage: dict[str, float], unit: Unit) -> Decimal | None:
    """In the unit; None where the provider told nothing."""
    if unit is Unit.MILLION_TOKENS and TOKENS in usage:
        return Decimal(str(usage[TOKENS])) / MILLION
    if unit is Unit.TRAINING_HOUR and SECONDS in usage:
        return Decimal(str(usage[SECONDS])) / _HOUR
    return None


def _figure(unit: Unit, used: Decimal) -> str:
    if unit is Unit.MILLION_TOKENS:
        return f"{int(used * MILLION):,} tokens"
    return f"{used * _HOUR:.0f} seconds"
