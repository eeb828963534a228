"""Which new prompts come too near to a prompt of test or validation. Pure.

No text of these is needed: signatures (520 bytes a prompt) tell how alike two texts are, give or take a few hundredths,
and hashes of their shingles (12 bytes a word 3-gram) tell it exactly. With signatures alone, a text is near where its
estimate reaches the limit less three standard errors, so that rather too many are left out: a pair at the limit is
missed about twice in a thousand times. With shingles none is missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets.quality.near_duplicates import similar_pairs
from gateway_tuning.datasets.quality.shingles import Hashes, Indexes, shingle_sets
from gateway_tuning.datasets.quality.signatures import Signatures, permutations_of, sign, standard_error

_ERRORS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Shingles:
    """The 3-grams of many texts in ascending order: `owners[i]` names the text that `hashes[i]` is of."""

    hashes: Hashes
    owners: Indexes
    sizes: Indexes  # by text

    @staticmethod
    def of(texts: Sequence[str]) -> "Shingles":
        sets = shingle_sets(texts)
        sizes = np.array([len(one) for one in sets], np.int64)
        hashes = np.concatenate([np.empty(0, np.uint64), *sets])
        owners = np.repeat(np.arange(len(sets)), sizes)
        order = np.argsort(hashes, kind="stable")
        return Shingles(hashes[order], owners[order], sizes)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Prompts of test and validation. `shingles` are of the same prompts; where given, they decide."""

    signatures: Signatures
    shingles: Shingles | None = None

    @staticmethod
    def of(prompts: Sequence[str]) -> "HeldOut":
        """Exact, from texts that are at hand."""
        return HeldOut(sign(prompts), Shingles.of(prompts))


def near(texts: Sequence[str], held_out: HeldOut, limit: float) -> NDArray[np.bool_]:
    """Which texts are at least so similar to a held-out prompt, by Jaccard index of word 3-grams.

    Raises:
        ConfigurationError: the limit is so low that signatures cannot tell, see `signatures.banding`.
    """
    if held_out.shingles is not None:
        return np.array([_highest(one, held_out.shingles) >= limit for one in shingle_sets(texts)], bool)
    found = np.zeros(len(texts), bool)
    if len(texts) and len(held_out.signatures):
        margin = _ERRORS * standard_error(limit, permutations_of(held_out.signatures))
        found[similar_pairs(sign(texts), held_out.signatures, threshold=limit - margin)[0]] = True
    return found


def _highest(own: Hashes, shingles: Shingles) -> float:
    """Only texts that share a 3-gram are looked at."""
    firsts = np.searchsorted(shingles.hashes, own)
    lasts = np.searchsorted(shingles.hashes, own, "right")
    owners = np.concatenate(
        [
            np.empty(0, np.int64),
            *(shingles.owners[first:last] for first, last in zip(firsts, lasts, strict=True)),
        ]
    )
    if not len(owners):
        return 0.0
    others, shared = np.unique(owners, return_counts=True)
    return float(np.max(shared / (len(own) + shingles.sizes[others] - shared)))
