"""Numbers as people read them. Pure; what is not known is said in words."""

import math

from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.evaluation.statistics import Difference

UNKNOWN = "unknown"
_SMALLEST_P = 0.001
_DIGITS = 3


def figure(value: float | None, digits: int = _DIGITS) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.4g} %"


def signed(value: float | None, digits: int = _DIGITS) -> str:
    """With a sign, unless it rounds to zero."""
    if value is None:
        return UNKNOWN
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if any(digit in text for digit in "123456789") else text[1:]


def interval(difference: Difference, digits: int = _DIGITS) -> str:
    if difference.low is None or difference.high is None:
        return UNKNOWN
    return f"{signed(difference.low, digits)} to {signed(difference.high, digits)}"


def told(difference: Difference, digits: int = _DIGITS) -> str:
    if difference.mean is None:
        return UNKNOWN
    return f"{signed(difference.mean, digits)} ({interval(difference, digits)})"


def probability(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"under {_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"


def digits_of(card: ScorerCard, *values: float | None) -> int:
    """Decimals for a metric: three where it is bounded, else so many that the largest shows three figures."""
    if card.low is not None and card.high is not None and card.high - card.low <= 10:  # noqa: PLR2004 - no percents
        return _DIGITS
    known = [abs(value) for value in values if value]
    places = math.floor(math.log10(max(known))) + 1 if known else 1
    return min(max(_DIGITS - places, 0), _DIGITS)
