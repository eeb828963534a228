"""Words that more users of one side use than of the other. Pure.

Weighted log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, doi:10.1093/pan/mpn018), over
users and not over occurrences: who repeats a word counts once. Only words of letters, at most 30 long, that at
least three users of the side use are named: none that could point at somebody.
"""

from collections.abc import Hashable, Sequence
from math import log, sqrt

from gateway_tuning.drift.texts.words import MIN_SPREAD, Words, spread

_LEAST = 2.0  # standard errors
_PRIOR = 0.1  # of the users of both sides
_SHORTEST = 2  # letters


def telling_words(
    reference: Sequence[Words],
    current: Sequence[Words],
    groups: tuple[Sequence[Hashable], Sequence[Hashable]],
    most: int = 10,
) -> tuple[Words, Words]:
    """Those of the reference and those of the current side, the most telling first."""
    sides = (spread(reference, groups[0]), spread(current, groups[1]))
    totals = [max(1, side.total()) for side in sides]
    pooled = sides[0] + sides[1]
    prior_total = _PRIOR * pooled.total()
    scored: list[tuple[float, str]] = []
    for word, users in pooled.items():
        if len(word) < _SHORTEST:
            continue
        prior = _PRIOR * users
        odds = []
        for side, total in zip(sides, totals, strict=True):
            count = side[word] + prior
            odds.append(log(count / max(1, total + prior_total - count)))
        error = sqrt(1 / (sides[0][word] + prior) + 1 / (sides[1][word] + prior))
        scored.append(((odds[1] - odds[0]) / error, word))
    gone = sorted((z, word) for z, word in scored if z <= -_LEAST and sides[0][word] >= MIN_SPREAD)
    new = sorted((-z, word) for z, word in scored if z >= _LEAST and sides[1][word] >= MIN_SPREAD)
    return tuple(word for _, word in gone[:most]), tuple(word for _, word in new[:most])
