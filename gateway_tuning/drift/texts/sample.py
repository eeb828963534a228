"""Which rows' texts are read: whole users, by a hash of their name and a seed. Pure.

A hash and no generator, so that the choice does not depend on the order of rows: topics that were learned on one half of
a reference are compared with the same other half whenever it is read again.
"""

from collections.abc import Hashable, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
_ONE_GROUP = 20  # at most this part of the rows that are read is one group's


def drawn(groups: Sequence[Hashable], *, most: int, seed: int) -> Rows:
    """Rows in their order, at most `most`."""
    if len(groups) <= most:
        return np.arange(len(groups), dtype=np.intp)
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    chosen: list[int] = []
    for group in sorted(members, key=lambda name: _place(name, f"draw {seed}")):
        if len(chosen) >= most:
            break
        chosen.extend(members[group][: max(1, most // _ONE_GROUP)])
    return np.array(sorted(chosen[:most]), dtype=np.intp)


def halves(groups: Sequence[Hashable], *, seed: int) -> tuple[Rows, Rows]:
    """Rows of one half of the groups, and of the other half."""
    distinct = sorted(dict.fromkeys(groups), key=lambda name: _place(name, f"half {seed}"))
    first = set(distinct[: len(distinct) // 2])
    in_first = np.array([group in first for group in groups], dtype=bool)
    return np.flatnonzero(in_first), np.flatnonzero(~in_first)


def _place(group: Hashable, salt: str) -> bytes:
    return blake2b(f"{salt}\x1f{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
