"""A text in 520 bytes that tells how alike it is to others: MinHash over word 3-grams. Pure.

For two texts with shingle sets of Jaccard index s, each of the k minima is equal with probability s (Broder 1997, "On
the resemblance and containment of documents"): their share estimates s with standard error sqrt(s (1 - s) / k), 0.04 at
the most for k = 128. Permutations are multiply-shift hashes of 32 bits (Dietzfelbinger 1996), which are 2-universal.

Banding (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", ch. 3.4): minima are cut into b bands of r rows,
and texts that agree in a whole band are candidates. A pair of similarity s becomes one with probability
1 - (1 - s^r)^b.
"""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets.quality.shingles import (
    SHINGLE,
    Hashes,
    hash64,
    hash_words,
    mixed,
    ngrams,
    padded,
    split_words,
)
from gateway_tuning.errors import ConfigurationError

PERMUTATIONS = 128
MAX_MISSED = 0.001
_CHUNK = 1000  # texts: their shingles stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Signatures:
    """One row a text. `exact` is equal where the folded words are; `minima` is (texts, permutations).

    Arrays may be memory-mapped: nothing here or in `near_duplicates` copies `minima` as a whole.
    """

    exact: Hashes
    minima: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.exact)

    def let_go(self) -> None:
        """Give back the memory of what was read of mapped `minima`; what is asked for again is read again."""
        if isinstance(self.minima, np.memmap):
            mapped: mmap.mmap = getattr(self.minima, "_mmap")  # noqa: B009 - numpy offers no other way
            mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, slots=True)
class Banding:
    bands: int
    rows: int

    def chance_found(self, similarity: float) -> float:
        """Probability that a pair of this similarity is a candidate."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def sign(texts: Sequence[str], permutations: int = PERMUTATIONS) -> Signatures:
    """The same for each text whatever stands beside it, in any process."""
    exact = np.empty(len(texts), np.uint64)
    minima = np.empty((len(texts), permutations), np.uint32)
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        split = [split_words(text) for text in chunk]
        exact[start : start + len(chunk)] = [
            hash64(" ".join(words) if words else " ".join(text.split()))
            for words, text in zip(split, chunk, strict=True)
        ]
        shingles = ngrams(padded(hash_words(split), chunk), SHINGLE)
        starts = np.searchsorted(shingles.owners, np.arange(len(chunk)))
        minima[start : start + len(chunk)] = _minima(shingles.hashes, starts, permutations)
    return Signatures(exact, minima)


def concatenate(parts: Sequence[Signatures]) -> Signatures:
    """Signatures of partitions as those of the whole.

    Raises:
        ConfigurationError: they were made with different numbers of permutations.
    """
    if not parts:
        return sign([])
    permutations_of(*parts)
    return Signatures(
        np.concatenate([part.exact for part in parts]), np.concatenate([part.minima for part in parts])
    )


def permutations_of(*parts: Signatures) -> int:
    """Raises ConfigurationError where they differ: minima of other permutations tell nothing."""
    found = sorted({part.minima.shape[1] for part in parts})
    if len(found) != 1:
        raise ConfigurationError(
            f"Signatures of {found} permutations do not compare; sign all texts with one number"
        )
    return int(found[0])


def banding(threshold: float, permutations: int = PERMUTATIONS, *, max_missed: float = MAX_MISSED) -> Banding:
    """The most rows a band, so the fewest candidates, at which a pair at the threshold is missed that rarely.

    Raises:
        ConfigurationError: there are too few permutations, or the threshold is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ConfigurationError(f"Similarity threshold {threshold} must be above 0 and at most 1")
    for rows in range(permutations, 0, -1):
        found = Banding(permutations // rows, rows)
        if 1 - found.chance_found(threshold) <= max_missed:
            return found
    raise ConfigurationError(
        f"{permutations} permutations cannot find pairs of similarity {threshold} with at most {max_missed:.2%} "
        "missed; raise the permutations, the threshold or what may be missed"
    )


def standard_error(similarity: float, permutations: int = PERMUTATIONS) -> float:
    """Of a similarity estimated from minima; a binomial share's."""
    return float(np.sqrt(similarity * (1 - similarity) / permutations))


def _minima(shingles: Hashes, starts: NDArray[np.int64], permutations: int) -> NDArray[np.uint32]:
    """One permutation at a time over all texts: sums wrap at 64 bits, and the upper 32 of them are the hash."""
    found = np.empty((permutations, len(starts)), np.uint64)
    keys = mixed(shingles) >> np.uint64(32)
    numbers = mixed(np.arange(1, 2 * permutations + 1, dtype=np.uint64))
    factors, summands = numbers[:permutations], numbers[permutations:]
    moved = np.empty_like(keys)
    for at in range(permutations):
        np.multiply(keys, factors[at], out=moved)
        np.add(moved, summands[at], out=moved)
        np.minimum.reduceat(moved, starts, out=found[at])
    return (found >> np.uint64(32)).astype(np.uint32).T
