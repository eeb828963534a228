"""Texts as sets of word n-gram hashes: what near-duplicates and contamination are measured on. Pure.

A word is a run of letters, digits and `_` after NFKC and case folding; everything else separates words. A character of
a script written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) is a word by itself, so that a word 3-gram is a
character 3-gram there. Hashes are 64 bits, by blake2b or by multiplication in numpy: the same in every process.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SHINGLE = 3  # words
Hashes = NDArray[np.uint64]
Indexes = NDArray[np.int64]

_ASCII = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_SPACED_WORD = re.compile(r"\w+")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_EDGE = int.from_bytes(blake2b(b"edge of a short text", digest_size=8).digest(), "little")
_SPACE = ord(" ")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Word hashes of texts, one after the other: text i is hashes[starts[i] : starts[i + 1]]."""

    hashes: Hashes
    starts: Indexes

    @property
    def counts(self) -> Indexes:
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Hashes of word n-grams, with the text that each stands in, in order of text and place."""

    hashes: Hashes
    owners: Indexes


def split_words(text: str) -> list[str]:
    if text.isascii():
        return text.translate(_ASCII).lower().split()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return (_WORD if _ANY_UNSPACED.search(folded) else _SPACED_WORD).findall(folded)


def hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def hash_words(texts: Sequence[Sequence[str]]) -> Words:
    """A sum over a word's bytes, each drawn from a table of 64-bit numbers and multiplied by one of its place."""
    counts = np.array([len(words) for words in texts], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    joined = " ".join([word for words in texts for word in words]).encode("utf-8", "surrogatepass")
    if not joined:
        return Words(np.empty(0, np.uint64), starts)
    data = np.frombuffer(joined, np.uint8)
    gaps = np.flatnonzero(data == _SPACE)
    firsts = np.concatenate([[0], gaps + 1])
    sizes = np.diff(np.concatenate([firsts, [len(data) + 1]]))  # each with the space behind it
    places = np.arange(len(data)) - np.repeat(firsts, sizes)[: len(data)]
    factors = mixed(np.arange(1, int(sizes.max()) + 1, dtype=np.uint64)) | np.uint64(1)
    return Words(mixed(np.add.reduceat(_BYTES[data] * factors[places], firsts)), starts)


def padded(words: Words, texts: Sequence[str]) -> Words:
    """Texts of fewer than three words between two edges on each side, so that they have shingles.

    A text without any word is the one word of all its characters: "?!" resembles nothing but "?!".
    """
    counts = words.counts
    if not np.any(counts < SHINGLE):
        return words
    edge = np.full(SHINGLE - 1, _EDGE, np.uint64)
    pieces: list[Hashes] = []
    last = 0
    for index in np.flatnonzero(counts < SHINGLE).tolist():
        start, end = words.starts[index], words.starts[index + 1]
        whole = np.array([hash64(" ".join(texts[index].split()))], np.uint64)
        inner = words.hashes[start:end] if end > start else whole
        pieces += [words.hashes[last:start], edge, inner, edge]
        last = end
    pieces.append(words.hashes[last:])
    grown = np.where(counts < SHINGLE, np.maximum(counts, 1) + 2 * (SHINGLE - 1), counts)
    return Words(np.concatenate(pieces), np.concatenate([[0], np.cumsum(grown)]).astype(np.int64))


def ngrams(words: Words, length: int) -> Runs:
    """Every run of `length` words that lies within one text, repetitions included."""
    places = max(0, len(words.hashes) - length + 1)
    owners = np.repeat(np.arange(len(words)), words.counts)
    hashes = np.zeros(places, np.uint64)
    for offset in range(length):
        hashes = mixed(hashes * _MULTIPLIER + words.hashes[offset : offset + places])
    within = owners[:places] == owners[length - 1 :] if places else np.empty(0, bool)
    return Runs(hashes[within], owners[:places][within])


def shingle_sets(texts: Sequence[str]) -> list[Hashes]:
    """The distinct 3-gram hashes of each text, ascending: what the exact Jaccard index is computed on."""
    runs = ngrams(padded(hash_words([split_words(text) for text in texts]), texts), SHINGLE)
    bounds = np.searchsorted(runs.owners, np.arange(len(texts) + 1))
    return [np.unique(runs.hashes[start:end]) for start, end in pairwise(bounds.tolist())]


def jaccard(left: Hashes, right: Hashes) -> float:
    """|left and right| / |left or right| of two ascending sets, neither of them empty."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def mixed(values: Hashes) -> Hashes:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): every bit of the result hangs on every bit given."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_BYTES = mixed(np.arange(1 << 32, (1 << 32) + 256, dtype=np.uint64))
_BYTES[_SPACE] = 0  # the space behind a word is no part of it
