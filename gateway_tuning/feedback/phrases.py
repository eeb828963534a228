"""Phrases that several texts share, and how alike texts are: words by hash, in time near linear in them. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

LONGEST = 5  # words; what shares a longer phrase shares these
_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_POSITIONS_A_PASS = 2_000_000
_COUNTED_BITS = 20

Hashes = NDArray[np.uint64]
Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Where it stands first, how many words it has, and the texts that hold it, ascending."""

    position: int  # in Corpus.words
    length: int
    texts: Indexes


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts as runs of words: text i is words[starts[i] : starts[i + 1]], each an index into `vocabulary`'s hashes."""

    words: Indexes
    starts: Indexes
    vocabulary: Hashes

    def __len__(self) -> int:
        return len(self.starts) - 1


def corpus(texts: Sequence[str]) -> Corpus:
    """Case and punctuation apart."""
    known = _Numbers()
    words: list[int] = []
    starts = [0]
    for text in texts:
        words += map(known.__getitem__, _WORD.findall(text.casefold()))
        starts.append(len(words))
    hashes = [int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big") for word in known]
    return Corpus(np.array(words, np.int64), np.array(starts, np.int64), np.array(hashes, np.uint64))


class _Numbers(dict[str, int]):
    """Of words, in the order in which they are asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


def shared_phrases(texts: Corpus, *, least: int) -> Iterator[Phrase]:
    """Each set of at least `least` texts that shares a phrase, with the longest such phrase.

    Hashes are sorted in passes over a part of them each, so that memory follows the words and not the phrases.
    """
    owner = np.repeat(np.arange(len(texts)), np.diff(texts.starts))
    marks = _mixed(np.arange(1, len(texts) + 1, dtype=np.uint64))
    hashed = texts.vocabulary[texts.words]
    known: set[int] = set()
    for length in range(LONGEST, 0, -1):
        hashes, positions = _runs(hashed, owner, length)
        passes = 1 + len(hashes) // _POSITIONS_A_PASS
        for turn in range(passes):
            mine = hashes % np.uint64(passes) == turn
            for mark, position, holders in _shared(hashes[mine], positions[mine], owner, marks, least=least):
                if mark not in known:
                    known.add(mark)
                    yield Phrase(position, length, holders)


def _runs(words: Hashes, owner: Indexes, length: int) -> tuple[Hashes, Indexes]:
    """Hashes of the runs of `length` words that lie in one text, and where they start."""
    count = len(words) - length + 1
    if count <= 0:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    hashes = np.zeros(count, np.uint64)
    for offset in range(length):
        hashes = _mixed(hashes * _MULTIPLIER + words[offset : offset + count])
    inside = owner[:count] == owner[length - 1 :]
    return hashes[inside], np.flatnonzero(inside)


def _shared(
    hashes: Hashes, positions: Indexes, owner: Indexes, marks: Hashes, *, least: int
) -> Iterator[tuple[int, int, Indexes]]:
    """Mark of the set of texts, first position and texts of each phrase."""
    # Most phrases stand in one text. Those whose bits are rare cannot be shared, and sorting them takes the time.
    bits = (hashes >> np.uint64(64 - _COUNTED_BITS)).astype(np.int64)
    frequent = np.bincount(bits, minlength=1)[bits] >= least
    hashes, positions = hashes[frequent], positions[frequent]
    order = np.argsort(hashes, kind="stable")  # positions ascend within a hash, and so do their texts
    hashes, positions = hashes[order], positions[order]
    held = owner[positions]
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (held[1:] != held[:-1])
    hashes, positions, held = hashes[new], positions[new], held[new]
    starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]][: len(hashes)])
    counts = np.diff(np.r_[starts, len(hashes)])
    shared = np.flatnonzero(counts >= least)
    if not len(shared):
        return
    sums = np.add.reduceat(
        marks[held], starts
    )  # wraps around; sets that differ differ in it but by chance of 2^-64
    for index in shared:
        start = starts[index]
        yield int(sums[index]), int(positions[start]), held[start : start + counts[index]]


@dataclass(frozen=True, slots=True)
class _Table:
    """The different words of each text: text i has words[starts[i] : starts[i + 1]]; weights are by word."""

    words: Indexes
    starts: Indexes
    weights: NDArray[np.float64]

    @staticmethod
    def of(texts: Corpus) -> "_Table":
        owner = np.repeat(np.arange(len(texts)), np.diff(texts.starts))
        different = len(texts.vocabulary)
        pairs = np.unique(owner * different + texts.words)  # text after text, each word once
        held, words = np.divmod(pairs, max(1, different))
        starts = np.searchsorted(held, np.arange(len(texts) + 1))
        weights = np.log((1 + len(texts)) / np.bincount(words, minlength=different))
        return _Table(words, starts, weights)


class Likeness:
    """Mean pairwise cosine of texts as sets of words, weighted by their rarity.

    Words that more than the share `frame` of the texts compared hold are left out: what remains tells the topic.
    Nothing is counted before it is asked for: in most feedback no phrase gets so far.
    """

    def __init__(self, texts: Corpus, *, frame: float = 1.0) -> None:
        self._texts = texts
        self._frame = frame

    @cached_property
    def of_all(self) -> float | None:
        return self.of(np.arange(len(self._texts)))

    @cached_property
    def _table(self) -> _Table:
        return _Table.of(self._texts)

    def of(self, texts: Indexes) -> float | None:
        """None when fewer than two of the texts have words to compare."""
        table = self._table
        spans = [table.words[table.starts[text] : table.starts[text + 1]] for text in texts]
        words = np.concatenate(spans)
        owner = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
        _, word, held_by = np.unique(words, return_inverse=True, return_counts=True)
        kept = held_by[word] <= max(1.0, self._frame * len(texts))
        words, owner, word = words[kept], owner[kept], word[kept]
        weights = table.weights[words]
        norms = np.sqrt(np.bincount(owner, weights**2, minlength=len(spans)))
        count = int((norms > 0).sum())
        if count < 2:  # noqa: PLR2004 - a pair
            return None
        total = np.bincount(word, weights / norms[owner])
        return float(((total**2).sum() - count) / (count * (count - 1)))


def _mixed(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
