"""Tests of no difference: the sign of every cluster's sum is as likely as the other one."""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy import special

from gateway_tuning.evaluation.statistics.clusters import Vector, paired_clusters

EXACT_UP_TO = 12  # clusters that differ: 4,096 ways of signs
_CELLS = 2_000_000
_EQUAL = 1e-12  # sums of the same numbers in another order


def paired_permutation(
    candidate: Sequence[float],
    baseline: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    seed: int,
) -> float | None:
    """Two-sided p-value of the mean difference, None with fewer than two clusters.

    The signs of whole clusters are flipped. All ways are counted while at most 12 clusters differ from zero (the
    others change nothing); beyond, `resamples` random ones and the observed one are, so that no p-value is 0
    (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585).
    """
    found = paired_clusters(candidate, baseline, clusters)
    if found.count < 2:  # noqa: PLR2004 - one sign tells nothing
        return None
    return flipped_signs(found.sums, resamples=resamples, seed=seed)


def mcnemar(
    candidate: Sequence[float],
    baseline: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    seed: int,
) -> float | None:
    """Two-sided p-value of equal shares of right answers, for scores that are 0 or 1; None below two clusters.

    With one pair a cluster it is McNemar's exact test: the pairs where one system alone is right against the
    binomial with 1/2. Otherwise the excess of such pairs by cluster, of which Obuchowski's statistic is made (1998,
    Statistics in Medicine 17:1495-1507), is tested by flipping whole clusters, which is the exact test again where
    all clusters have one pair.

    Raises:
        ValueError: a score is neither 0 nor 1.
    """
    if not set(candidate) | set(baseline) <= {0, 1}:
        raise ValueError("McNemar's test compares scores of 0 and 1; use paired_permutation for others")
    found = paired_clusters(candidate, baseline, clusters)
    if found.count < 2:  # noqa: PLR2004 - as above
        return None
    if (found.sizes > 1).any():
        return flipped_signs(found.sums, resamples=resamples, seed=seed)
    better, worse = int((found.sums > 0).sum()), int((found.sums < 0).sum())
    return min(1.0, 2 * float(special.bdtr(min(better, worse), better + worse, 0.5)))


def flipped_signs(sums: Vector, *, resamples: int, seed: int) -> float:
    """Share of sign changes whose total is at least as far from 0 as that of `sums`."""
    sums = sums[sums != 0]
    if sums.size == 0:
        return 1.0
    reached = abs(sums.sum()) - _EQUAL * np.abs(sums).sum()
    if sums.size <= EXACT_UP_TO:
        ways = np.arange(2**sums.size)[:, None] >> np.arange(sums.size) & 1
        return float((np.abs((1 - 2 * ways) @ sums) >= reached).mean())
    rng, rows, hits = np.random.default_rng(seed), max(1, _CELLS // sums.size), 0
    for start in range(0, resamples, rows):
        flips = rng.integers(2, size=(min(rows, resamples - start), sums.size), dtype=np.int8)
        hits += int((np.abs((1.0 - 2.0 * flips) @ sums) >= reached).sum())
    return (hits + 1) / (resamples + 1)
