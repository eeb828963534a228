"""What a comparison could have found."""

from collections.abc import Hashable, Sequence

from gateway_tuning.evaluation.statistics.clusters import error_of, paired_clusters

_NOISE = 1e-12  # what rounding leaves where all pairs differ by the same amount


def detectable_difference(
    candidate: Sequence[float],
    baseline: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    power: float = 0.8,
) -> float | None:
    """The smallest true difference whose two-sided interval at `level` excludes 0 in `power` of all repetitions.

    (t((1 + level) / 2) + t(power)) x standard error (Bloom 1995, doi:10.1177/0193841X9501900504), both as
    `clusters.error_of` has them. None below two clusters, or where nothing varies: no spread was seen, so none can
    be reckoned with.
    """
    found = paired_clusters(candidate, baseline, clusters)
    if found.count < 2:  # noqa: PLR2004 - one value has no spread
        return None
    error = error_of(found)
    if error.standard < _NOISE:
        return None
    return (error.quantile((1 + level) / 2) + error.quantile(power)) * error.standard
