"""Columns as counts by bin: rows x bins, sparse, the rows of the reference first. Pure."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
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
    """By the reference's deciles, with open ends, and a bin for what is not known (None, NaN).

    A value that a tenth of the reference has, or its smallest one where that is a decile, has a bin of its own: else
    what lies below it would be the same.
    """
    known, rows = _floats(reference), np.concatenate([_floats(reference), _floats(current)])
    known = known[np.isfinite(known)]
    deciles = np.quantile(known, np.arange(1, 10) / 10) if known.size else np.array([])
    edges, times = np.unique(deciles, return_counts=True)
    alone = edges[(times > 1) | (edges == known.min(initial=np.inf))]
    bounds = np.sort(np.concatenate([edges, np.nextafter(alone, -np.inf)]))
    codes = np.where(np.isnan(rows), bounds.size + 1, np.searchsorted(bounds, rows, side="left"))
    return coded(codes.astype(np.intp), [*_intervals(bounds, set(alone.tolist())), UNKNOWN])


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


def _intervals(bounds: npt.NDArray[np.float64], alone: set[float]) -> list[str]:
    """`alone` are the bounds with a bin of their own; the bound before each is the next smaller number."""
    if not bounds.size:
        return ["any"]
    values = bounds.tolist()
    below = [f"below {high:g}" if high in alone else None for high in values[1:]] + [None]
    told = [f"up to {values[0]:g}" if below[0] is None else below[0]]
    for low, high, next_below in zip(values, values[1:], below[1:], strict=False):
        if high in alone:
            told.append(f"{high:g}")
        elif next_below is not None:
            told.append(f"above {low:g} and {next_below}")
        else:
            told.append(f"above {low:g} to {high:g}")
    return [*told, f"above {values[-1]:g}"]
