"""Words of any script, and how often each row has them. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from gateway_tuning.drift.columns import Counts

MIN_SPREAD = 3  # a word of fewer users is nobody's business, and no evidence either
LONGEST = 30  # letters; what is longer is no word
_READ = 2_000  # characters of a text
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]*(?:_\d+)?>")
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0981-\u0983\u09bc-\u09cd\u0b82\u0bbe-\u0bcd\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
_WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}])*")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WordTable:
    """`counts` is rows x vocabulary."""

    vocabulary: Words
    counts: Counts


def tokenize(texts: Iterable[str]) -> list[Words]:
    """Lower-case words of letters, without placeholders of masked data; equal words are one object.

    Scripts that put no spaces between words (Chinese, Japanese, Thai, Khmer, Burmese) give pairs of letters.
    """
    known: dict[str, str] = {}
    return [tuple([known.setdefault(word, word) for word in _words(text)]) for text in texts]


def _words(text: str) -> list[str]:
    read = text[:_READ].casefold() if "<" not in text else _PLACEHOLDER.sub(" ", text[:_READ]).casefold()
    found: list[str] = _WORD.findall(read)
    if read.isascii() or not _UNSPACED.search(read):
        return [word for word in found if len(word) <= LONGEST]
    return [part for word in found for part in _parts(word)]


def _parts(word: str) -> list[str]:
    if _UNSPACED.search(word):
        return [word[at : at + 2] for at in range(max(1, len(word) - 1))]
    return [word] if len(word) <= LONGEST else []


def count_words(rows: Sequence[Words], vocabulary: Sequence[str], *, others: bool = False) -> Counts:
    """Rows x vocabulary, sparse; with `others`, a last column counts the words that are not in it."""
    column = {word: number for number, word in enumerate(vocabulary)}
    starts, found = [0], list[int]()
    for words in rows:
        found.extend(column.get(word, len(column)) for word in words)
        starts.append(len(found))
    width = len(column) + 1
    counts = sparse.csr_matrix(
        (np.ones(len(found), dtype=np.float32), np.asarray(found, dtype=np.int32), np.asarray(starts)),
        shape=(len(rows), width),
    )
    counts.sum_duplicates()
    return counts if others else counts[:, : width - 1]


def spread(rows: Sequence[Words], groups: Sequence[object]) -> Counter[str]:
    """In how many groups each word stands."""
    of_group: dict[object, set[str]] = {}
    for group, words in zip(groups, rows, strict=True):
        of_group.setdefault(group, set()).update(words)
    return Counter(word for words in of_group.values() for word in words)


def frequent(rows: Sequence[Words], groups: Sequence[object], most: int) -> Words:
    """The most frequent words that at least three groups use; of equally frequent ones the first of the alphabet."""
    used = spread(rows, groups)
    counted = Counter(word for words in rows for word in words if used[word] >= MIN_SPREAD)
    return tuple(sorted(counted, key=lambda word: (-counted[word], word))[:most])
