"""Of examples that say the same, the best-rated stays. Pure.

Two examples are duplicates when they are of one kind, have one label, and their contexts, answers and rejected answers
lie in the same clusters each (`near_duplicates.clusters`). Another answer to the same prompt is no duplicate, nor is a
preference the other way round.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets.quality.shingles import Hashes, Indexes

NEAR_DUPLICATE = "near_duplicate_of"


def best_of_equals(*, same: Sequence[NDArray[Any]], rank: Sequence[NDArray[Any]], ids: Hashes) -> Indexes:
    """By example, the index of the one that stays for it: its own where it stays itself.

    Args:
        same: columns in which examples that say the same are equal.
        rank: columns by which the larger is the better, the first of them first.
        ids: of the examples; where the rank decides nothing, the smallest stays.
    """
    best = [-column.astype(np.int64) for column in rank]
    order = np.lexsort((ids, *reversed(best), *same))
    if not len(order):
        return np.empty(0, np.int64)
    changed = np.zeros(len(order), bool)
    for column in same:
        ordered = column[order]
        changed[1:] |= ordered[1:] != ordered[:-1]
    first = order[np.flatnonzero(np.r_[True, changed[1:]])]
    stays = np.empty(len(order), np.int64)
    stays[order] = first[np.cumsum(changed)]
    return stays
