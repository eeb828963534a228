"""Paired differences summed by what belongs together, and the error of their mean."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Sums of the differences and of their squares by cluster, and how many there are, in order of appearance."""

    sums: Vector
    squares: Vector
    sizes: Vector

    @property
    def count(self) -> int:
        return self.sums.size

    @property
    def pairs(self) -> int:
        return int(self.sizes.sum())

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def residuals(self) -> Vector:
        """By how much the sum of a cluster is above what the mean gives to its size."""
        return self.sums - self.sizes * self.mean


@dataclass(frozen=True, slots=True)
class Error:
    """Of the mean: with `standard` error and t with `freedom` degrees of freedom. `standard` is 0 without spread."""

    standard: float
    freedom: float

    def quantile(self, probability: float) -> float:
        """Of t, in units of the standard error."""
        return float(special.stdtrit(self.freedom, probability))


def error_of(found: Clusters) -> Error:
    """Standard error and degrees of freedom that hold where few users give most examples.

    The standard error is CR2 (Bell and McCaffrey 2002, Survey Methodology 28:169-181); the degrees of freedom are
    Satterthwaite's under a random effect of the cluster, whose size is estimated (Imbens and Kolesar 2016,
    doi:10.1162/REST_a_00552). With clusters of one size they are close to G - 1; one that holds half of all pairs
    leaves about one. Needs two clusters.
    """
    n = found.sizes.sum()
    share = found.sizes / n
    inflation = 1 / np.sqrt(1 - share)  # CR2: what fitting the mean took from each residual
    standard = float(np.sqrt(((inflation * found.residuals / n) ** 2).sum()))
    correlation = _intraclass_correlation(found)
    variance = found.sizes * (1 - correlation) + correlation * found.sizes**2
    # Covariance of the inflated residuals: diagonal - (b a' + a b') / n + total a a'
    diagonal, a, b = inflation**2 * variance / n**2, inflation * share, inflation * variance / n
    total = variance.sum() / n**2
    aa, bb, ab = a @ a, b @ b, a @ b
    trace = diagonal.sum() - 2 * ab / n + total * aa
    low_rank = (2 * aa * bb + 2 * ab**2) / n**2 + (total * aa) ** 2 - 4 * total * aa * ab / n
    mixed = diagonal @ (total * a**2 - 2 * a * b / n)
    trace_of_square = diagonal @ diagonal + 2 * mixed + low_rank
    return Error(standard, float(trace**2 / trace_of_square))


def _intraclass_correlation(found: Clusters) -> float:
    """Moment estimate from 0 to 1; 0 where no cluster has two pairs, or nothing varies."""
    squares = found.squares - 2 * found.mean * found.sums + found.sizes * found.mean**2
    pairs_within = (found.sizes * (found.sizes - 1)).sum()
    spread = squares.sum() / found.sizes.sum() * pairs_within
    if spread <= 0:
        return 0.0
    return float(np.clip((found.residuals**2 - squares).sum() / spread, 0, 1))


def paired_clusters(
    candidate: Sequence[float], baseline: Sequence[float], labels: Sequence[Hashable] | None
) -> Clusters:
    """Candidate minus baseline by label; every pair is its own cluster without labels.

    Raises:
        ValueError: the sides or the labels differ in length, or a score is not finite.
    """
    differences = np.asarray(candidate, dtype=float) - np.asarray(baseline, dtype=float)
    if not np.isfinite(differences).all():
        raise ValueError("Scores must be finite; give a failed answer the score it deserves")
    if labels is None:
        return Clusters(differences, differences**2, np.ones_like(differences))
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(label, len(numbers)) for label in labels]
    if len(index) != differences.size:
        raise ValueError(f"{differences.size} pairs and {len(index)} cluster labels")
    sums, squares = (np.bincount(index, weights=w).astype(np.float64) for w in (differences, differences**2))
    return Clusters(sums, squares, np.bincount(index).astype(np.float64))
