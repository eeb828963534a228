"""Counts of words or n-grams as weights: tf-idf with logarithmic tf, rows of length 1. Pure."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gateway_tuning.drift.columns import Counts


def rarity(counts: Counts) -> npt.NDArray[np.float32]:
    """Inverse document frequency of each column, smoothed: ln((1 + rows) / (1 + rows that have it)) + 1."""
    having = np.asarray((counts > 0).sum(axis=0), dtype=np.float64).ravel()
    return np.asarray(np.log((1 + counts.shape[0]) / (1 + having)) + 1, dtype=np.float32)


def of_topics(weights: Counts, groups: Sequence[Hashable]) -> npt.NDArray[np.float32]:
    """What each column is multiplied by so that a habit of one user (a greeting, a signature) counts as one statement.

    That is the part of the rows that are effective: 1 over Kish's design effect, 1 + (rows of a user - 1) x ICC, by
    which the variance of a column's mean over whole users exceeds that over as many independent rows. ICC is the
    intraclass correlation by analysis of variance, users of different size as in Donner (1986,
    doi:10.2307/1403259). Nothing is known here of which window a row is from, so shuffles of the windows remain a
    valid test.
    """
    number: dict[Hashable, int] = {}
    of_row = np.array([number.setdefault(group, len(number)) for group in groups], dtype=np.intp)
    rows, users = of_row.size, len(number)
    if users < 2 or rows == users:  # noqa: PLR2004 - without two users, or two rows of one, nobody has habits
        return np.ones(weights.shape[1], dtype=np.float32)
    sizes = np.bincount(of_row).astype(np.float64)
    sums = sparse.csr_matrix((np.ones(rows), (of_row, np.arange(rows)))) @ weights
    squares = np.asarray(weights.multiply(weights).sum(axis=0), dtype=np.float64).ravel()
    of_users = np.asarray(
        (sparse.diags(1 / sizes) @ sums.multiply(sums)).sum(axis=0), dtype=np.float64
    ).ravel()
    total = np.asarray(weights.sum(axis=0), dtype=np.float64).ravel()
    between = (of_users - total**2 / rows) / (users - 1)
    within = np.maximum(squares - of_users, 0) / (rows - users)
    size = (rows - (sizes**2).sum() / rows) / (users - 1)
    spread = between + (size - 1) * within
    correlation = np.clip((between - within) / np.where(spread > 0, spread, 1), 0, 1)
    return np.asarray(1 / (1 + (size - 1) * correlation), dtype=np.float32)


def weighted(counts: Counts, idf: npt.NDArray[np.float32]) -> Counts:
    weights = counts.astype(np.float32, copy=True)
    weights.data = 1 + np.log(weights.data)
    weights = weights @ sparse.diags(idf)
    lengths = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    lengths[lengths == 0] = 1
    return (sparse.diags((1 / lengths).astype(np.float32)) @ weights).tocsr()
