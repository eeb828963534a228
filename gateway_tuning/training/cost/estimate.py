"""What a job is likely to cost, how sure that is, and why. Pure, in decimals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_UP, Decimal
from enum import IntEnum

from gateway_tuning.training.cost.passes import Passes
from gateway_tuning.training.cost.prices import Price, PriceBook, Unit
from gateway_tuning.training.cost.tokens import TokenCount

MARGIN = Decimal("1.2")
MONTHS_STORED = 1
MILLION = Decimal(1_000_000)
_SMALLEST = Decimal("0.0001")
_OLD_DAYS = 180
_SURE_ERROR, _LIKELY_ERROR = Decimal("0.02"), Decimal("0.25")
_ENOUGH_JOBS = 3


class Confidence(IntEnum):
    UNKNOWN = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def told(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens that earlier jobs of the model trained on in an hour, the slowest first; none: unknown."""

    tokens_an_hour: tuple[Decimal, ...] = ()

    @property
    def middle(self) -> Decimal | None:
        ordered = sorted(self.tokens_an_hour)
        return ordered[(len(ordered) - 1) // 2] if ordered else None


@dataclass(frozen=True, slots=True)
class Part:
    """`amount` None: not known, and `told` says why."""

    name: str  # tokens, compute, storage, minimum
    amount: Decimal | None
    told: str
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is reserved is the `ceiling`: `expected` with the margin, or with the error of the count where that is wider.

    `expected` is the sum of the parts. Both are None when a part is not known. Each of `reasons` lowers the confidence.
    """

    currency: str
    parts: tuple[Part, ...]
    confidence: Confidence
    reasons: tuple[str, ...]
    tokens: int | None
    hours: Decimal | None
    expected: Decimal | None
    ceiling: Decimal | None

    @property
    def why(self) -> str:
        return "; ".join(self.reasons) or "tokens are counted, epochs are set and prices are fresh"

    @property
    def missing(self) -> str:
        return "; ".join(part.told for part in self.parts if part.amount is None)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be estimated. `validation` is None where there is none; `max_hours` is where the job is stopped.

    `is_elsewhere`: another server with the provider's API is asked, whose prices may be others.
    """

    provider: str
    base_model: str
    method: str
    training: TokenCount
    passes: Passes
    max_hours: Decimal
    validation: TokenCount | None = None
    pace: Pace = field(default_factory=Pace)
    months_stored: int = MONTHS_STORED
    is_elsewhere: bool = False


def estimate(ask: Ask, book: PriceBook, *, today: date, margin: Decimal = MARGIN) -> Estimate:
    tariff = book.tariff(ask.provider, ask.method)
    tokens, doubts = _tokens(ask), list(_doubts_of_count(ask))
    hours, hour_doubt = _hours(ask, tokens)
    if tariff is None:
        told = f"what {ask.provider} charges for is not known; add a [[tariff]] and prices to your price_file"
        return Estimate(
            "USD", (Part("tokens", None, told),), Confidence.UNKNOWN, (told,), tokens, hours, None, None
        )
    parts, used = [], []
    for unit in tariff.charges:
        price = book.price(ask.provider, ask.base_model, ask.method, unit, on=today)
        part = _part(ask, unit, price, tokens=tokens, hours=hours)
        parts.append(part)
        used += [price] if price is not None else []
        if unit is Unit.TRAINING_HOUR and hour_doubt is not None:
            doubts.append(hour_doubt)
    parts = _with_minimum(parts)
    currencies = sorted({price.currency for price in used})
    if len(currencies) > 1:
        told = f"prices are in {' and '.join(currencies)}; give them in one currency in your price_file"
        parts.append(Part("currency", None, told))
    doubts += _doubts_of_prices(used, today)
    if ask.is_elsewhere and not all(price.own for price in used):
        told = f"prices are those of {ask.provider}, but another server is asked; give its own in your price_file"
        doubts.append((Confidence.LOW, told))
    expected = _sum(parts)
    if expected is None:
        doubts = [(Confidence.UNKNOWN, part.told) for part in parts if part.amount is None]
    confidence = min((level for level, _ in doubts), default=Confidence.HIGH)
    widened = max(margin, 1 + ask.training.error) if Unit.MILLION_TOKENS in tariff.charges else margin
    return Estimate(
        currency=currencies[0] if currencies else "USD",
        parts=tuple(parts),
        confidence=confidence,
        reasons=tuple(told for _, told in doubts),
        tokens=tokens,
        hours=hours,
        expected=expected,
        ceiling=None if expected is None else rounded(expected * widened),
    )


def rounded(amount: Decimal) -> Decimal:
    """Up, to a hundredth of a cent."""
    return amount.quantize(_SMALLEST, rounding=ROUND_UP)


def _tokens(ask: Ask) -> int | None:
    if ask.passes.through_training is None:
        return None
    looked_at = 0 if ask.validation is None else ask.validation.tokens * ask.passes.through_validation
    return ask.training.share_of(ask.passes.through_training) + looked_at


def _hours(ask: Ask, tokens: int | None) -> tuple[Decimal, tuple[Confidence, str] | None]:
    """By earlier jobs; without any, the hours after which it is stopped: it cannot take longer."""
    pace = ask.pace.middle
    if pace is None or tokens is None:
        told = f"no earlier job tells its hours, so the limit of {ask.max_hours.normalize():f} is taken"
        return ask.max_hours, (Confidence.LOW, told)
    jobs = len(ask.pace.tokens_an_hour)
    told = f"hours as {jobs} earlier {'job' if jobs == 1 else 'jobs'} took"
    level = Confidence.MEDIUM if jobs >= _ENOUGH_JOBS else Confidence.LOW
    return min(ask.max_hours, Decimal(tokens) / pace), (level, told)


def _part(ask: Ask, unit: Unit, price: Price | None, *, tokens: int | None, hours: Decimal) -> Part:
    name = {Unit.MILLION_TOKENS: "tokens", Unit.TRAINING_HOUR: "compute", Unit.MODEL_MONTH: "storage"}.get(
        unit, "minimum"
    )
    if price is None:
        told = f"the price of a {unit.replace('_', ' ')} of {ask.base_model} ({ask.method}) at {ask.provider} is not known"
        return Part(name, None, told)
    rate = f"{price.amount} {price.currency}"
    if unit is Unit.MILLION_TOKENS:
        if tokens is None:
            return Part(name, None, ask.passes.told, price)
        told = f"{tokens:,} tokens ({ask.passes.told}) at {rate} a million"
        return Part(name, rounded(tokens * price.amount / MILLION), told, price)
    if unit is Unit.TRAINING_HOUR:
        return Part(name, rounded(hours * price.amount), f"{hours:.2f} hours at {rate}", price)
    if unit is Unit.MODEL_MONTH:
        told = f"{ask.months_stored} month of storage at {rate}"
        return Part(name, rounded(ask.months_stored * price.amount), told, price)
    return Part(name, price.amount, f"a job costs {rate} at least", price)


def _with_minimum(parts: Sequence[Part]) -> list[Part]:
    """The minimum is what it adds to the use, nothing where the use is dearer."""
    use = _sum([part for part in parts if part.name in {"tokens", "compute"}])
    raised = []
    for part in parts:
        if part.name == "minimum" and part.amount is not None and use is not None:
            added = max(Decimal(0), part.amount - use)
            raised.append(Part(part.name, added, part.told, part.price))
        else:
            raised.append(part)
    return raised


def _sum(parts: Iterable[Part]) -> Decimal | None:
    total = Decimal(0)
    for part in parts:
        if part.amount is None:
            return None
        total += part.amount
    return total


def _doubts_of_count(ask: Ask) -> Iterable[tuple[Confidence, str]]:
    error, told = ask.training.error, f"tokens are counted by {ask.training.method}"
    if error > _LIKELY_ERROR:
        yield Confidence.LOW, f"{told}; that may be wrong by {error:.0%}"
    elif error > _SURE_ERROR:
        yield Confidence.MEDIUM, f"{told}; that may be wrong by {error:.0%}"
    if not ask.passes.is_set:
        yield Confidence.MEDIUM, ask.passes.told


def _doubts_of_prices(used: Iterable[Price], today: date) -> Iterable[tuple[Confidence, str]]:
    oldest = min((price.checked_on for price in used), default=today)
    if (today - oldest).days > _OLD_DAYS:
        yield Confidence.MEDIUM, f"a price was last seen on {oldest}"
