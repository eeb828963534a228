"""How far a judge can be believed: by the place of an answer, and by what people said. Pure."""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from gateway_tuning.evaluation.judging.verdict import Outcome, Verdict

CHANCE = 0.5  # agreement of a judge that does not read
_FEWEST_CLUSTERS = 2


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `trials`, with its interval. None where there are no trials, or too few clusters for an interval."""

    value: float | None
    low: float | None
    high: float | None
    trials: int


@dataclass(frozen=True, slots=True)
class PositionBias:
    """`first`: share of the decided judgements that prefer what was shown first, 0.5 without bias.

    `contradicted`: share of the pairs whose verdict changed with the order.
    """

    first: Share
    contradicted: Share


def share(
    hits: Sequence[float], trials: Sequence[int], clusters: Sequence[Hashable], *, level: float
) -> Share:
    """`sum(hits) / sum(trials)`, both given by pair.

    Wilson's interval with the effective number of trials: those of independent pairs, divided by the design effect of
    the clusters (never below 1) and corrected for their number (Korn and Graubard 1998, Survey Methodology 24:193-201;
    with Wilson's interval: Dean and Pagano 2015, doi:10.1093/jssam/smv024). Where all clusters are alike their spread is
    0 and says nothing, so each counts as one trial.
    """
    total = sum(trials)
    if not total:
        return Share(None, None, None, 0)
    value = sum(hits) / total
    sums, sizes = _by_cluster(hits, clusters), _by_cluster(trials, clusters)
    count = len(sizes)
    if count < _FEWEST_CLUSTERS:
        return Share(value, None, None, total)
    variance = count / (count - 1) * float(((sums - value * sizes) ** 2).sum()) / total**2
    by_chance = value * (1 - value) / total
    effect = max(1.0, variance / by_chance) if by_chance else total / count
    z = float(special.ndtri((1 + level) / 2))
    t = float(special.stdtrit(count - 1, (1 + level) / 2))
    effective = total / effect * (z / t) ** 2
    middle = (value + z**2 / (2 * effective)) / (1 + z**2 / effective)
    spread = (
        z * math.sqrt(value * (1 - value) / effective + z**2 / (4 * effective**2)) / (1 + z**2 / effective)
    )
    return Share(value, max(0.0, middle - spread), min(1.0, middle + spread), total)


def position_bias(outcomes: Iterable[Outcome], *, level: float) -> PositionBias:
    """Of pairs that were judged in both orders; the others would count one order more often."""
    judged = [(outcome, outcome.judgements) for outcome in outcomes if outcome.judgements is not None]
    clusters = [outcome.pair.group for outcome, _ in judged]
    verdicts = [[each.verdict for each in judgements or ()] for _, judgements in judged]
    return PositionBias(
        first=share(
            [each.count(Verdict.FIRST) for each in verdicts],
            [len(each) - each.count(Verdict.TIE) for each in verdicts],
            clusters,
            level=level,
        ),
        contradicted=share(
            [float(outcome.is_contradicted) for outcome, _ in judged],
            [1] * len(judged),
            clusters,
            level=level,
        ),
    )


def agreement(outcomes: Iterable[Outcome], *, level: float) -> Share:
    """With people, where `ours` of each pair is the answer that they chose. No difference agrees by half.

    So a judge that never decides, or always for the same place, is at 0.5 like one that throws a coin.
    """
    known = [(each.pair.group, each.preference) for each in outcomes]
    judged = [(group, preference) for group, preference in known if preference is not None]
    return share(
        [preference for _, preference in judged],
        [1] * len(judged),
        [group for group, _ in judged],
        level=level,
    )


def _by_cluster(
    values: Sequence[float], clusters: Sequence[Hashable]
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    return np.bincount(index, weights=np.asarray(values, dtype=float)).astype(np.float64)
