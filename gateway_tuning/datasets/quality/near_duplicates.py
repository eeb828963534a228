"""Which texts are near-duplicates of each other, from their signatures alone. Pure.

Candidates come from bands (`signatures`): one band at a time is hashed and sorted, so that memory is a few numbers a
text and band. A candidate pair counts where its similarity reaches the threshold: estimated from the minima, or exact
where the caller can compute it. Clusters are the connected components of what counts, so two texts of a cluster may
resemble each other less than the threshold.

Texts of equal words are one text from the start. Within a bucket of up to `REACH` + 1 different texts every pair is
compared; in a larger one each text with the bucket's first and the `REACH` before it, those that share another band
standing together. That bounds the work where a template fills a bucket; what is missed there is mostly found in another
band.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.datasets.quality.shingles import Hashes, Indexes, jaccard, mixed, shingle_sets
from gateway_tuning.datasets.quality.signatures import (
    Banding,
    Signatures,
    banding,
    permutations_of,
    sign,
    standard_error,
)

THRESHOLD = 0.7
PROMPT_THRESHOLD = 0.6  # lower than for removal: joining two groups too many costs little, a leak much
REACH = 32
_PAIRS_AT_ONCE = 20_000
_LOOKED_UP = 250  # pairs: the system maps some 16 pages around each row that is read
_ROWS_AT_ONCE = 100_000
_TO_MEASURE = 1_000  # pairs of the highest estimates that `most_similar` measures
_LEVELS = (0.9, 0.8, 0.7, 0.6, 0.5)
_ERRORS = 3  # standard errors by which an estimate may fall short of the threshold before it is measured

Similarities = NDArray[np.float64]
Measure = Callable[[Indexes, Indexes], Similarities]  # exact similarities of pairs of indexes


@dataclass(frozen=True, slots=True)
class Nearest:
    """The most similar pair. `measured` says that the similarity is exact and not estimated."""

    similarity: float
    test: int
    train: int
    measured: bool


def clusters(
    signatures: Signatures, *, threshold: float = THRESHOLD, measure: Measure | None = None
) -> Hashes:
    """A cluster's id for each text: the smallest content hash in it, so that no order of the texts changes it.

    `measure` gets indexes into `signatures`; pairs whose estimate lies above the threshold less three standard
    errors are measured by it.

    Raises:
        ConfigurationError: too few permutations for the threshold, see `signatures.banding`.
    """
    cut = banding(threshold, permutations_of(signatures))
    exact, firsts, back = np.unique(signatures.exact, return_index=True, return_inverse=True)
    parents = np.arange(len(exact))
    for band in range(cut.bands):
        order, runs = _buckets(signatures, firsts, cut, band)
        for left, right in _bucket_pairs(order, runs):
            apart = _roots(parents, left) != _roots(parents, right)
            left, right = left[apart], right[apart]  # noqa: PLW2901 - those that are together need no look
            alike = _similarities(signatures, firsts[left], firsts[right], threshold, measure) >= threshold
            _unite(parents, left[alike], right[alike])
    roots = _roots(parents, np.arange(len(exact)))
    return exact[roots][back]  # `exact` ascends and a root is the smallest index of its component


def most_similar(
    signatures: Signatures,
    tests: Indexes,
    trains: Indexes,
    *,
    floor: float = 0.4,
    measure: Measure | None = None,
) -> Nearest | None:
    """The highest similarity of a test text to a train text, or None where no candidate reaches the floor.

    Bands are made for one level after the other, from the highest down, until a pair reaches its level. A pair more
    similar than the one found is then missed with a probability of at most `signatures.MAX_MISSED`; where None is
    found, that holds for pairs at the floor, and `banding(floor).chance_found(s)` tells it for others. In buckets of
    more than `REACH` train texts each test text is compared with `REACH` of them in each band.

    `tests` and `trains` index `signatures`, and so do what `measure` gets and what is found. Without `measure` the
    similarity is the largest of many estimates, and so rather too high than too low. Of equals, the pair with the
    smallest content hashes counts.

    Raises:
        ConfigurationError: as `clusters`.
    """
    permutations = permutations_of(signatures)
    tests, trains = (
        rows[np.unique(signatures.exact[rows], return_index=True)[1]] for rows in (tests, trains)
    )
    for level in (*(level for level in _LEVELS if level > floor), floor):
        found = _nearest(signatures, tests, trains, banding(level, permutations), measure)
        if found is not None and found.similarity >= level:
            return found
    return None


def similar_pairs(
    texts: Signatures, known: Signatures, *, threshold: float = THRESHOLD
) -> tuple[Indexes, Indexes, Similarities]:
    """All pairs (text, known text) whose estimated similarity reaches the threshold, in order of their indexes.

    Raises:
        ConfigurationError: as `clusters`.
    """
    cut = banding(threshold, permutations_of(texts, known))
    every, all_known = np.arange(len(texts)), np.arange(len(known))
    found = [np.empty(0, np.int64)]
    for band in range(cut.bands):
        keys, held = _band_keys(texts, every, cut, band), _band_keys(known, all_known, cut, band)
        for left, right in _joint_pairs(keys, held, every, all_known):
            alike = _estimates(texts, known, left, right) >= threshold
            found.append(left[alike] * len(known) + right[alike])
    distinct = np.unique(np.concatenate(found))
    left, right = np.divmod(distinct, max(1, len(known)))
    return left, right, _estimates(texts, known, left, right)


def prompt_clusters(prompts: Sequence[str], *, threshold: float = PROMPT_THRESHOLD) -> Hashes:
    """Clusters of texts that are at hand, by exact Jaccard index of their 3-grams."""
    return clusters(sign(prompts), threshold=threshold, measure=measure_of(prompts, prompts))


def measure_of(left: Sequence[str], right: Sequence[str]) -> Measure:
    """Exact Jaccard index of word 3-grams between two lists of texts; shingles are made for the pairs asked for."""

    def measure(some: Indexes, others: Indexes) -> Similarities:
        ones = dict(
            zip((mine := np.unique(some)).tolist(), shingle_sets([left[i] for i in mine]), strict=True)
        )
        twos = dict(
            zip((theirs := np.unique(others)).tolist(), shingle_sets([right[i] for i in theirs]), strict=True)
        )
        pairs = zip(some.tolist(), others.tolist(), strict=True)
        return np.array([jaccard(ones[one], twos[two]) for one, two in pairs], np.float64)

    return measure


def _nearest(
    signatures: Signatures, tests: Indexes, trains: Indexes, cut: Banding, measure: Measure | None
) -> Nearest | None:
    exact = signatures.exact
    left, right, values = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    for band in range(cut.bands):
        keys, held = _band_keys(signatures, tests, cut, band), _band_keys(signatures, trains, cut, band)
        for some, others in _joint_pairs(keys, held, tests, trains, reach=REACH):
            left, right = np.concatenate([left, some]), np.concatenate([right, others])
            values = np.concatenate([values, _estimates(signatures, signatures, some, others)])
            best = np.lexsort((exact[right], exact[left], -values))
            distinct = np.unique(left[best] * len(exact) + right[best], return_index=True)[1]
            best = best[np.sort(distinct)][:_TO_MEASURE]
            left, right, values = left[best], right[best], values[best]
    if not len(left):
        return None
    if measure is not None:
        values = measure(left, right)
    first = np.lexsort((exact[right], exact[left], -values))[0]
    return Nearest(float(values[first]), int(left[first]), int(right[first]), measure is not None)


def _band_keys(signatures: Signatures, rows: Indexes, cut: Banding, band: int) -> Hashes:
    """Rows that are mapped from a file leave the memory again, so that it holds `_ROWS_AT_ONCE` of them."""
    keys = np.zeros(len(rows), np.uint64)
    columns = slice(band * cut.rows, (band + 1) * cut.rows)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        own = slice(start, start + _ROWS_AT_ONCE)
        for column in signatures.minima[rows[own], columns].T:
            keys[own] = mixed(keys[own] + column)
        signatures.let_go()
    return keys


def _buckets(signatures: Signatures, rows: Indexes, cut: Banding, band: int) -> tuple[Indexes, Indexes]:
    """Indexes into `rows` ordered by band key, and where the bucket of each starts.

    Within a bucket they are ordered by the next band, so that in a large one those more alike stand together, and
    then by content hash, which is the order of the rows.
    """
    keys = _band_keys(signatures, rows, cut, band)
    order = np.argsort(_band_keys(signatures, rows, cut, (band + 1) % cut.bands), kind="stable")
    order = order[np.argsort(keys[order], kind="stable")]
    keys = keys[order]
    starts = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, bool)
    return order, np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))


def _bucket_pairs(order: Indexes, runs: Indexes) -> Iterator[tuple[Indexes, Indexes]]:
    places = np.arange(len(order))
    behind = places[runs < places]
    yield from _in_chunks(order[runs[behind]], order[behind])
    alive = behind
    for distance in range(1, REACH + 1):
        alive = alive[alive - distance > runs[alive]]  # the bucket's first was compared with all
        if not len(alive):
            return
        yield from _in_chunks(order[alive - distance], order[alive])


def _joint_pairs(
    keys: Hashes, others: Hashes, lefts: Indexes, rights: Indexes, *, reach: int | None = None
) -> Iterator[tuple[Indexes, Indexes]]:
    """Pairs of indexes whose keys are equal; of many on the right, `reach` of them, each left one from its own place on."""
    order = np.argsort(others, kind="stable")
    others = others[order]
    firsts = np.searchsorted(others, keys, "left")
    held = np.searchsorted(others, keys, "right") - firsts
    counts = held if reach is None else np.minimum(held, reach)
    bounds = np.cumsum(counts)
    total = int(bounds[-1]) if len(bounds) else 0
    for start in range(0, total, _PAIRS_AT_ONCE):
        numbers = np.arange(start, min(start + _PAIRS_AT_ONCE, total))
        mine = np.searchsorted(bounds, numbers, "right")
        place = (numbers - (bounds[mine] - counts[mine]) + mine * (held[mine] > counts[mine])) % held[mine]
        yield lefts[mine], rights[order[firsts[mine] + place]]


def _in_chunks(left: Indexes, right: Indexes) -> Iterator[tuple[Indexes, Indexes]]:
    for start in range(0, len(left), _PAIRS_AT_ONCE):
        yield left[start : start + _PAIRS_AT_ONCE], right[start : start + _PAIRS_AT_ONCE]


def _estimates(ones: Signatures, others: Signatures, left: Indexes, right: Indexes) -> Similarities:
    shares = np.empty(len(left))
    for start in range(0, len(left), _LOOKED_UP):
        some = slice(start, start + _LOOKED_UP)
        equal = ones.minima[left[some]] == others.minima[right[some]]
        shares[some] = np.count_nonzero(equal, axis=1)
        ones.let_go()
        others.let_go()
    shares /= ones.minima.shape[1]
    return shares


def _similarities(
    signatures: Signatures, left: Indexes, right: Indexes, threshold: float, measure: Measure | None
) -> Similarities:
    found = _estimates(signatures, signatures, left, right)
    if measure is None:
        return found
    near = found >= threshold - _ERRORS * standard_error(threshold, signatures.minima.shape[1])
    found[~near] = 0.0
    found[near] = measure(left[near], right[near])
    return found


def _roots(parents: Indexes, of: Indexes) -> Indexes:
    found = parents[of]
    while np.any((above := parents[found]) != found):
        found = above
    parents[of] = found  # shorter paths for those who ask next
    return found


def _unite(parents: Indexes, left: Indexes, right: Indexes) -> None:
    """Union by smallest index, over all pairs at once until nothing changes."""
    while len(left):
        one, other = _roots(parents, left), _roots(parents, right)
        apart = one != other
        left, right = left[apart], right[apart]
        low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        np.minimum.at(parents, high, low)
