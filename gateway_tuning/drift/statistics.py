"""Population stability index (PSI) over all bins of both sides, and whether chance alone explains it.

PSI = sum over bins of (q - p) ln(q / p), p and q the shares of a bin in reference and current. Without drift it is
about (bins - 1)(1/n + 1/m) for n and m independent rows: 0.17 for ten bins and 100 rows a side. So neither 0.1 nor
0.2 is evidence by itself, and the same shuffles that give the p-value also give the PSI expected by chance.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

_RARE = 0.01  # a category below this share on both sides joins the others
_PRIOR = 0.5  # Jeffreys: added to every bin, so that an empty one has a share
_CELLS = 4_000_000  # numbers held at once while shuffling


@dataclass(frozen=True, slots=True)
class Shift:
    """`expected` is the mean PSI of the shuffles, `p_value` the share of them that is at least as large."""

    psi: float
    expected: float
    p_value: float


def psi(reference: npt.ArrayLike, current: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """PSI of counts by bin (last axis), with Jeffreys' prior."""
    p, q = (np.asarray(counts, dtype=np.float64) + _PRIOR for counts in (reference, current))
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def numeric_bins(reference: Sequence[float], current: Sequence[float]) -> Matrix:
    """Rows of both windows, reference first, by bins: the reference's deciles, open ends, and one for NaN."""
    values = np.concatenate([np.asarray(reference, dtype=float), np.asarray(current, dtype=float)])
    known = np.asarray(reference, dtype=float)
    known = known[~np.isnan(known)]
    edges = np.unique(np.quantile(known, np.arange(1, 10) / 10)) if known.size else np.array([])
    index = np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, side="left"))
    return _one_hot(index)


def category_bins(reference: Sequence[Hashable], current: Sequence[Hashable]) -> Matrix:
    """Rows of both windows, reference first, by category: those of either side, rare ones together."""
    shares = [
        {key: count / len(side) for key, count in Counter(side).items()} if side else {}
        for side in (reference, current)
    ]
    keys = dict.fromkeys([*shares[0], *shares[1]])
    kept = {
        key: number for number, key in enumerate(k for k in keys if max(s.get(k, 0) for s in shares) >= _RARE)
    }
    return _one_hot(np.array([kept.get(key, len(kept)) for key in [*reference, *current]], dtype=np.intp))


def word_bins(reference: Sequence[Sequence[str]], current: Sequence[Sequence[str]], *, words: int) -> Matrix:
    """Counts of each row's words, rows of both windows, reference first: the most frequent words, and the others."""
    texts = [*reference, *current]
    frequent = Counter(word for text in texts for word in text).most_common(words)
    column = {word: number for number, (word, _) in enumerate(frequent)}
    counts = np.zeros((len(texts), len(column) + 1), dtype=np.float32)
    for row, text in enumerate(texts):
        np.add.at(counts[row], [column.get(word, len(column)) for word in text], 1)
    return counts


def shifts(
    features: Sequence[Matrix],
    *,
    reference_rows: int,
    groups: Sequence[Hashable],
    permutations: int,
    seed: int,
) -> list[Shift]:
    """PSI between the first `reference_rows` rows and the others for each feature, with its permutation p-value.

    Rows of one group on one side (all feedback of a user) are not independent and change sides together; the
    number of groups a side stays. All features see the same shuffles. The p-value counts the observation itself
    (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585), so it is never 0.
    """
    rows = len(groups)
    sides = [row >= reference_rows for row in range(rows)]
    units: dict[tuple[bool, Hashable], int] = {}
    unit_of = np.array(
        [units.setdefault(key, len(units)) for key in zip(sides, groups, strict=True)], dtype=np.intp
    )
    in_reference = np.array([not side for side, _ in units], dtype=np.float32)
    together = np.concatenate(features, axis=1)
    counts = np.zeros((len(units), together.shape[1]), dtype=np.float32)
    np.add.at(counts, unit_of, together)
    ends = np.cumsum([feature.shape[1] for feature in features])[:-1]
    observed = _psi_of(in_reference[None, :], counts, ends)[0]
    rng = np.random.default_rng(seed)
    size = max(1, _CELLS // max(1, len(units)))
    shuffled = np.concatenate(
        [
            _psi_of(
                rng.permuted(np.tile(in_reference, (min(size, permutations - done), 1)), axis=1), counts, ends
            )
            for done in range(0, permutations, size)
        ]
    )
    # Equal up to rounding is equal.
    as_large = (shuffled >= observed * (1 - 1e-9) - 1e-12).sum(axis=0)
    p_values = (1 + as_large) / (1 + permutations)
    expected = shuffled.mean(axis=0)
    return [Shift(*map(float, values)) for values in zip(observed, expected, p_values, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979): with each compared to alpha, any false alarm has chance alpha."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def _psi_of(in_reference: Matrix, counts: Matrix, ends: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """PSI by shuffle and feature; `in_reference` is shuffles x units of 0 and 1."""
    reference = (in_reference @ counts).astype(np.float64)
    current = counts.sum(axis=0, dtype=np.float64) - reference
    return np.stack(
        [
            psi(p, q)
            for p, q in zip(np.split(reference, ends, axis=1), np.split(current, ends, axis=1), strict=True)
        ],
        axis=1,
    )


def _one_hot(index: npt.NDArray[np.intp]) -> Matrix:
    _, dense = np.unique(index, return_inverse=True)  # an empty bin would only dilute
    return np.eye(int(dense.max(initial=-1)) + 1, dtype=np.float32)[dense]
