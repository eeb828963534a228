"""The difference of two systems on the same examples, with its uncertainty."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

_CELLS = 2_000_000  # numbers held at once while resampling


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline. `mean` is None without pairs, the interval None where it cannot be known."""

    mean: float | None
    low: float | None
    high: float | None
    level: float
    n: int


def paired_bootstrap(
    candidate: Sequence[float],
    baseline: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int,
) -> Difference:
    """Mean of the paired differences and its bootstrap interval.

    With `clusters` (one label a pair), whole clusters are drawn, so that what belongs together counts once. The
    quantiles are those of the expanded percentile interval (Hesterberg 2015, doi:10.1080/00031305.2015.1089789):
    with few clusters the plain ones are too narrow. Fewer than two clusters give no interval. Pairs that all
    differ by the same amount give one without width.
    """
    differences = np.asarray(candidate, dtype=float) - np.asarray(baseline, dtype=float)
    if differences.size == 0:
        return Difference(None, None, None, level, 0)
    if not np.isfinite(differences).all():
        raise ValueError("Scores must be finite; give a failed answer the score it deserves")
    labels = range(differences.size) if clusters is None else clusters
    sums, sizes = _cluster_sums(differences, labels)
    mean = float(differences.mean())
    if sums.size < 2:  # noqa: PLR2004 - one value has no spread
        return Difference(mean, None, None, level, differences.size)
    means = _resampled_means(sums, sizes, resamples, np.random.default_rng(seed))
    tail = _expanded_tail(level, sums.size)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Difference(mean, float(low), float(high), level, differences.size)


def _cluster_sums(
    differences: npt.NDArray[np.float64], labels: Sequence[Hashable]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(label, len(numbers)) for label in labels]
    if len(index) != differences.size:
        raise ValueError(f"{differences.size} pairs and {len(index)} cluster labels")
    sums = np.bincount(index, weights=differences).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)


def _resampled_means(
    sums: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    rows = max(1, _CELLS // sums.size)
    parts = []
    for start in range(0, resamples, rows):
        drawn = rng.integers(sums.size, size=(min(rows, resamples - start), sums.size))
        parts.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(parts)


def _expanded_tail(level: float, units: int) -> float:
    wide = np.sqrt(units / (units - 1)) * special.stdtrit(units - 1, (1 + level) / 2)
    return float(special.ndtr(-wide))
