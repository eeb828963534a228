"""Lengths of texts as a histogram with two bins to each doubling, and exact quantiles. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Bin:
    """Lengths from `low` to `high`, both included."""

    low: int
    high: int
    count: int

    @property
    def label(self) -> str:
        return f"{self.low}" if self.low == self.high else f"{self.low}-{self.high}"


@dataclass(frozen=True, slots=True)
class Lengths:
    """`median` and `p95` are lengths that occur: the smallest that at least so many texts do not exceed."""

    texts: int
    mean: float
    median: int
    p95: int
    longest: int
    bins: tuple[Bin, ...]


def lengths(counted: Mapping[int, int]) -> Lengths | None:
    """Of texts by length; None of no text. Bins are 0, 1, 2, 3, 4-5, 6-7, 8-11 and so on, without empty ones at the ends."""
    texts = sum(counted.values())
    if not texts:
        return None
    ordered = sorted(counted)
    upto = list(accumulate(counted[length] for length in ordered))

    def quantile(percent: int) -> int:
        return next(
            length for length, count in zip(ordered, upto, strict=True) if 100 * count >= percent * texts
        )

    by_bin: dict[int, int] = {}
    for length, count in counted.items():
        number = _number(length)
        by_bin[number] = by_bin.get(number, 0) + count
    return Lengths(
        texts=texts,
        mean=sum(length * count for length, count in counted.items()) / texts,
        median=quantile(50),
        p95=quantile(95),
        longest=ordered[-1],
        bins=tuple(_bin(number, by_bin.get(number, 0)) for number in range(min(by_bin), max(by_bin) + 1)),
    )


def _number(length: int) -> int:
    """Of the bin: twice the length's binary exponent, and its second digit."""
    exponent = length.bit_length() - 1
    return length if exponent < 1 else 2 * exponent + (length >> (exponent - 1) & 1)


def _bin(number: int, count: int) -> Bin:
    if number < 2:  # noqa: PLR2004 - 0 and 1 have no second digit
        return Bin(number, number, count)
    width = 2 ** (number // 2 - 1)
    low = (2 + number % 2) * width
    return Bin(low, low + width - 1, count)
