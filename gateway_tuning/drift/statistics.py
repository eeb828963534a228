"""Population stability index (PSI) over all bins of both sides, and whether chance alone explains it. Pure.

PSI = sum over bins of (q - p) ln(q / p), p and q the shares of a bin in reference and current. Without drift it is
about (bins - 1)(1/n + 1/m) for n and m independent rows: 0.17 for ten bins and 100 rows a side. So neither 0.1 nor
0.2 is evidence by itself, and the same shuffles that give the p-value also give the PSI expected by chance.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, lgamma

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gateway_tuning.drift.columns import Counts

Floats = npt.NDArray[np.float64]
_PRIOR = 0.5  # Jeffreys: added to every bin, so that an empty one has a share
_CELLS = 4_000_000  # numbers held at once while shuffling
_MANY_UNITS = 10_000
_LARGE_UNIT = 0.01  # of all rows: with such a unit sums of units are not yet normal
_SYMMETRIC = 1e-3  # a skewness below it is none


@dataclass(frozen=True, slots=True)
class Shift:
    """`expected` is the mean PSI of the shuffles, `p_value` the share of them that is at least as large."""

    psi: float
    expected: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Units:
    """What changes sides as a whole: all rows of one group on one side. `of_row` numbers them, the reference's first."""

    of_row: npt.NDArray[np.intp]
    reference: int
    current: int

    @property
    def total(self) -> int:
        return self.reference + self.current

    @property
    def smallest_p(self) -> float:
        """Of a permutation test: one over the number of ways to choose the units of the reference."""
        ways = lgamma(self.total + 1) - lgamma(self.reference + 1) - lgamma(self.current + 1)
        return exp(-ways) if ways < 700 else 0.0  # noqa: PLR2004 - below the smallest float


def units(reference: Sequence[Hashable] | int, current: Sequence[Hashable] | int) -> Units:
    """Of the groups of the rows of both sides, or of numbers of independent rows."""
    numbers: list[npt.NDArray[np.intp]] = []
    sizes: list[int] = []
    for side in (reference, current):
        if isinstance(side, int):
            numbers.append(np.arange(side, dtype=np.intp) + sum(sizes))
            sizes.append(side)
            continue
        seen: dict[Hashable, int] = {}
        rows = (seen.setdefault(group, len(seen)) for group in side)
        numbers.append(np.fromiter(rows, dtype=np.intp, count=len(side)) + sum(sizes))
        sizes.append(len(seen))
    return Units(np.concatenate(numbers), *sizes)


def by_unit(counts: Counts, of: Units) -> Counts:
    """Units x bins, sparse."""
    rows = of.of_row.size
    sums = sparse.csr_matrix(
        (np.ones(rows, dtype=np.float32), (of.of_row, np.arange(rows))), shape=(of.total, rows)
    )
    return sums @ counts


def psi(reference: npt.ArrayLike, current: npt.ArrayLike) -> Floats:
    """PSI of counts by bin (last axis), with Jeffreys' prior."""
    p, q = (np.asarray(counts, dtype=np.float64) + _PRIOR for counts in (reference, current))
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def shifts(columns: Sequence[Counts], of: Units, *, permutations: int, seed: int) -> list[Shift]:
    """PSI between the sides for each column (rows x bins), with its permutation p-value.

    Units change sides as a whole; the number of units a side stays. All columns see the same shuffles. The p-value
    counts the observation itself (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585), so it is never 0; beyond the
    largest shuffle it is refined (`p_value_of`).

    Above 10,000 units the counts of a shuffle are drawn from the normal distribution that has exactly their mean and
    covariance (Hoeffding 1951, doi:10.1214/aoms/1177729545), so that time no longer grows with units times shuffles;
    unless one unit has a hundredth of the rows or more, and their sums are not normal yet.
    """
    together = by_unit(sparse.hstack(columns, format="csr"), of)
    ends = np.cumsum([column.shape[1] for column in columns])[:-1]
    total = np.asarray(together.sum(axis=0), dtype=np.float64).ravel()
    first = np.asarray(together[: of.reference].sum(axis=0), dtype=np.float64).ravel()
    observed = _psi_of(first[None, :], total, ends)[0]
    rng = np.random.default_rng(seed)
    largest = np.bincount(of.of_row, minlength=of.total).max(initial=0) / max(1, of.of_row.size)
    draws = (
        _normal_sums(together, of, permutations, rng)
        if of.total > _MANY_UNITS and largest < _LARGE_UNIT
        else _shuffled_sums(together, of, permutations, rng)
    )
    shuffled = np.concatenate([_psi_of(sums, total, ends) for sums in draws])
    return [
        Shift(
            psi=float(observed[column]),
            expected=float(shuffled[:, column].mean()),
            p_value=p_value_of(float(observed[column]), shuffled[:, column], smallest=of.smallest_p),
        )
        for column in range(len(columns))
    ]


def p_value_of(observed: float, shuffled: Floats, *, smallest: float) -> float:
    """Share of `shuffled` (1-D) that is at least `observed`, the observation counted.

    Where no shuffle reaches the observation that share only says "below 1 in so many", which is too coarse for the
    small alpha of a check that is often repeated. There the tail of a Pearson type III distribution with the mean,
    variance and skewness of the shuffles is taken (Mielke and Berry 2007, doi:10.1007/978-0-387-69813-7), at most
    that share and at least `smallest`.
    """
    as_large = int(
        (shuffled >= observed - 1e-9 * abs(observed) - 1e-12).sum()
    )  # equal up to rounding is equal
    counted = (1 + as_large) / (1 + shuffled.size)
    spread = float(shuffled.std())
    if as_large or spread == 0:
        return counted
    from scipy import stats  # half a second, which every run of every flow would take to start

    z = (observed - float(shuffled.mean())) / spread
    skew = float(stats.skew(shuffled))
    tail = float(stats.norm.sf(z) if abs(skew) < _SYMMETRIC else stats.pearson3.sf(z, skew))
    return min(counted, max(tail, smallest, float(np.finfo(float).tiny)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979): with each compared to alpha, any false alarm has chance alpha."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def _shuffled_sums(
    counts: Counts, of: Units, permutations: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Shuffles x bins: what the reference has after each."""
    dense = counts.toarray() if counts.shape[0] <= _MANY_UNITS else counts
    for sides in shuffled_sides(of, permutations, rng):
        yield np.asarray(sides @ dense, dtype=np.float64)


def shuffled_sides(
    of: Units, permutations: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.float32]]:
    """Shuffles x units, in parts: 1 where the unit is in the reference."""
    sides = np.zeros(of.total, dtype=np.float32)
    sides[: of.reference] = 1
    size = max(1, _CELLS // max(1, of.total))
    for done in range(0, permutations, size):
        yield rng.permuted(np.tile(sides, (min(size, permutations - done), 1)), axis=1)


def _normal_sums(counts: Counts, of: Units, permutations: int, rng: np.random.Generator) -> Iterator[Floats]:
    counts = counts.astype(np.float64)
    mean = np.asarray(counts.mean(axis=0)).ravel()
    products = (counts.T @ counts).toarray() - of.total * np.outer(mean, mean)
    scale = of.reference * of.current / (of.total * (of.total - 1))
    values, vectors = np.linalg.eigh(products * scale)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    size = max(1, _CELLS // mean.size)
    for done in range(0, permutations, size):
        normal = rng.standard_normal((min(size, permutations - done), mean.size))
        yield np.clip(of.reference * mean + normal @ root.T, 0, of.total * mean)


def _psi_of(reference: Floats, total: Floats, ends: npt.NDArray[np.intp]) -> Floats:
    """Shuffles x columns."""
    current = total - reference
    return np.stack(
        [
            psi(p, q)
            for p, q in zip(np.split(reference, ends, axis=1), np.split(current, ends, axis=1), strict=True)
        ],
        axis=1,
    )
