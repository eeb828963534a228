"""Interval of a paired difference by drawing clusters."""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy import special

from gateway_tuning.evaluation.statistics.clusters import Clusters, Vector, error_of, paired_clusters
from gateway_tuning.evaluation.statistics.difference import Difference

_CELLS = 2_000_000  # numbers held at once while resampling
_TOLD_APART = 10  # resamples beyond a quantile, below which it is noise
_SAME = 9  # decimals
_CONFIDENCE = 0.9


def paired_bootstrap(
    candidate: Sequence[float],
    baseline: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int,
    span: float | None = None,
) -> Difference:
    """Mean of the paired differences and its bootstrap interval.

    With `clusters` (one label a pair), whole clusters are drawn, so that what belongs together counts once. What the
    plain percentile interval gets wrong is put right as follows; `benchmarks/statistics.py` measures it.

    - Few clusters, or a few that hold most pairs: the quantiles are expanded (Hesterberg 2015,
      doi:10.1080/00031305.2015.1089789) until they are as wide as t with the standard error and the degrees of
      freedom of `clusters.error_of`. Where so few resamples lie beyond them that they are noise, the interval is
      mean +- t x error.
    - Systems that hardly ever differ, as with scores of 0 and 1: that nothing was seen to change in 20 pairs does not
      say that nothing changes. Two clusters of mean size are added to those that are drawn from, one above the mean
      and one below, by what clusters that do differ differ typically: for scores of 0 and 1 these are the two
      pairs of Bonett and Price (2012, doi:10.3102/1076998611411915). The rule for other scores is ours.

    `span` is the largest difference there can be, None if nothing bounds it; the interval stays within. It is how far
    the two clusters lie where all pairs differ by the same amount. Without it such pairs, as fewer than two clusters
    in any case, give no interval.
    """
    found = paired_clusters(candidate, baseline, clusters)
    if found.pairs == 0:
        return Difference(None, None, None, level, 0)
    step = None if found.count < 2 else _typical_step(found, span)  # noqa: PLR2004 - one value has no spread
    if step is None:
        return Difference(found.mean, None, None, level, found.pairs)
    low, high = _interval(found, step, level, resamples, np.random.default_rng(seed))
    if span is not None:
        low, high = max(low, -span), min(high, span)
    return Difference(found.mean, low, high, level, found.pairs)


def _typical_step(found: Clusters, span: float | None) -> float | None:
    """How far a cluster that differs lies from the mean: root mean square, by pairs of a cluster of mean size.

    Of the few that differ it is the upper bound of a 90 % confidence interval (chi-square): three of twenty say little
    of how large a change can be.
    """
    differences = np.round(found.sums / found.sizes, _SAME)
    differing = found.count - int(np.unique(differences, return_counts=True)[1].max())
    if differing == 0:
        return span
    squares = (found.residuals**2).sum() / special.chdtri(differing, _CONFIDENCE)
    step = float(np.sqrt(squares) / found.sizes.mean())
    return step if span is None else min(step, span)


def _interval(
    found: Clusters, step: float, level: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    size, n = found.sizes.mean(), found.sizes.sum()
    sums = np.append(found.sums, [size * (found.mean + step), size * (found.mean - step)])
    sizes = np.append(found.sizes, [size, size])
    error = error_of(found)
    plain = float(np.sqrt((found.residuals**2).sum())) / n
    ratio = error.standard / plain if plain else np.sqrt(found.count / (found.count - 1))
    wide = ratio * error.quantile((1 + level) / 2)
    tail = float(special.ndtr(-wide))
    if tail * resamples < _TOLD_APART:
        drawn = np.sqrt(((sums - sizes * found.mean) ** 2).mean() * found.count) / n
        return float(found.mean - wide * drawn), float(found.mean + wide * drawn)
    means = _resampled_means(sums, sizes, found.count, resamples, rng)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _resampled_means(
    sums: Vector, sizes: Vector, draws: int, resamples: int, rng: np.random.Generator
) -> Vector:
    rows = max(1, _CELLS // draws)
    parts = []
    for start in range(0, resamples, rows):
        drawn = rng.integers(sums.size, size=(min(rows, resamples - start), draws))
        parts.append(sums.take(drawn).sum(axis=1) / sizes.take(drawn).sum(axis=1))
    return np.concatenate(parts)
