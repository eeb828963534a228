"""Columns as counts by bin: rows x bins, sparse, the rows of the reference first. Pure."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Counts = Any  # scipy.sparse.csr_matrix, which has no types
UNKNOWN, OTHER, OTHER_WORDS = "unknown", "other", "other words"
_RARE = 0.01  # a category below this share on both sides joins the others


@dataclass(frozen=True, slots=True)
class Binned:
    """`counts` is rows x labels; a row without any count is left out of the comparison."""

    labels: tuple[str, ...]
    counts: Counts


def numeric_bins(reference: Sequence[float | None], current: Sequence[float | None]) -> Binned:
    """By the reference's deciles, with open ends, and a bin for what is not known (None, NaN)."""
    known, rows = _floats(reference), np.concatenate([_floats(reference), _floats(current)])
    known = known[~np.isnan(known)]
    edges = np.unique(np.quantile(known, np.arange(1, 10) / 10)) if known.size else np.array([])
    codes = np.where(np.isnan(rows), edges.size + 1, np.searchsorted(edges, rows, side="left"))
    return coded(codes.astype(np.intp), [*_intervals(edges), UNKNOWN])


def category_bins(reference: Sequence[Hashable], current: Sequence[Hashable]) -> Binned:
    """By the categories of either side, rare ones together; None is the category "unknown"."""
    shares = [
        {key: count / len(side) for key, count in Counter(side).items()} if side else {}
        for side in (reference, current)
    ]
    keys = dict.fromkeys([*shares[0], *shares[1]])
    kept = {
        key: number
        for number, key in enumerate(key for key in keys if max(side.get(key, 0) for side in shares) >= _RARE)
    }
    rows = (kept.get(key, len(kept)) for side in (reference, current) for key in side)
    codes = np.fromiter(rows, dtype=np.intp, count=len(reference) + len(current))
    return coded(codes, [*(UNKNOWN if key is None else str(key) for key in kept), OTHER])


def coded(codes: npt.NDArray[np.intp], labels: Sequence[str]) -> Binned:
    """One bin a row, -1 for none; bins that no row has are left out: they would only dilute."""
    present, dense = np.unique(codes[codes >= 0], return_inverse=True)
    rows = np.flatnonzero(codes >= 0)
    counts = sparse.csr_matrix(
        (np.ones(rows.size, dtype=np.float32), (rows, dense)), shape=(codes.size, present.size)
    )
    return Binned(tuple(labels[code] for code in present), counts)


def _floats(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)  # None becomes NaN


def _intervals(edges: npt.NDArray[np.float64]) -> list[str]:
    if not edges.size:
        return ["any"]
    told = [f"{edge:g}" for edge in edges]
    between = [f"above {low} to {high}" for low, high in pairwise(told)]
    return [f"up to {told[0]}", *between, f"above {told[-1]}"]
