"""Counts of words or n-grams as weights: tf-idf with logarithmic tf, rows of length 1. Pure."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gateway_tuning.drift.columns import Counts


def rarity(counts: Counts) -> npt.NDArray[np.float32]:
    """Inverse document frequency of each column, smoothed: ln((1 + rows) / (1 + rows that have it)) + 1."""
    having = np.asarray((counts > 0).sum(axis=0), dtype=np.float64).ravel()
    return np.asarray(np.log((1 + counts.shape[0]) / (1 + having)) + 1, dtype=np.float32)


def weighted(counts: Counts, idf: npt.NDArray[np.float32]) -> Counts:
    weights = counts.astype(np.float32, copy=True)
    weights.data = 1 + np.log(weights.data)
    weights = weights @ sparse.diags(idf)
    lengths = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    lengths[lengths == 0] = 1
    return (sparse.diags((1 / lengths).astype(np.float32)) @ weights).tocsr()
