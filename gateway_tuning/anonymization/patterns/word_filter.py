"""Which of hundreds of words may occur in a text, asked at once. Pure.

Looking for each takes longer than all the rest of the patterns. A text's pairs and triples of characters are
marked in one table instead, and a word can only occur where its own are marked.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_PLACES = 1 << 16
_LEFT, _MIDDLE = 961, 31  # a triple's place; two triples may share one, and then a word is looked for in vain
_PAIRS = 40_000
_ALWAYS = _PLACES - 1  # marked in every table, and the place of no pair or triple


def mark(text: str) -> NDArray[np.bool_]:
    """The table of a text in lower case."""
    marked = np.zeros(_PLACES, np.bool_)
    marked[_ALWAYS] = True
    triples, pairs = _places(text)
    marked[triples] = True
    marked[pairs] = True
    return marked


class WordFilter:
    """Of words in groups, in lower case. Those of a single character are never ruled out."""

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        self._words = [(group, word) for group, words in enumerate(groups) for word in words]
        self._places = np.array([_first_middle_last(word) for _, word in self._words], np.intp).reshape(-1, 3)

    def possible(self, marked: NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
        """The words that the text may hold, each with the number of its group, in order."""
        found = marked[self._places]
        for number in np.flatnonzero(found[:, 0] & found[:, 1] & found[:, 2]).tolist():
            yield self._words[number]


def _first_middle_last(word: str) -> tuple[int, int, int]:
    triples, pairs = _places(word)
    places = triples if triples.size else pairs
    if not places.size:
        return _ALWAYS, _ALWAYS, _ALWAYS
    return int(places[0]), int(places[places.size // 2]), int(places[-1])


def _places(text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    pairs = codes[:-1] * np.uint32(_MIDDLE) + codes[1:]
    triples = codes[:-2] * np.uint32(_LEFT) + pairs[1:]
    return triples % np.uint32(_ALWAYS), (pairs + np.uint32(_PAIRS)) % np.uint32(_ALWAYS)
