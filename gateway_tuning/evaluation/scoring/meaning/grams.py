"""Texts as their character n-grams: likeness of spelling, for machines without the sentence model. Pure."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np

from gateway_tuning.evaluation.scoring.meaning.embedder import MOST_CHARACTERS, Vectors

_WIDTH = 4_096
_SPACED = range(3, 6)  # characters of an n-gram, with the edges of its word
_UNSPACED = range(1, 4)
_SHORT = 3  # words up to here are mostly function words
_SHORT_WEIGHT = 0.25
_RUN = re.compile(r"\w+")
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)


class CharacterGrams:
    """Square roots of the counts of n-grams within words, hashed to signed places (Weinberger et al. 2009).

    Short words weigh a quarter, in place of an inverse document frequency: that would make the figure of one answer
    hang on the other answers of the run.
    """

    version = "character n-grams 1"
    is_lexical = True

    def embed(self, texts: Sequence[str]) -> Vectors:
        from sklearn.feature_extraction import FeatureHasher

        if not texts:
            return np.zeros((0, _WIDTH), np.float32)
        hasher = FeatureHasher(_WIDTH, input_type="dict", dtype=np.float32)
        rows: Vectors = hasher.transform(_weights(text[:MOST_CHARACTERS]) for text in texts).toarray()
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows


def _weights(text: str) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for word, times in Counter(_RUN.findall(unicodedata.normalize("NFKC", text).casefold())).items():
        weight = times * (_SHORT_WEIGHT if len(word) <= _SHORT and not _WITHOUT_SPACES.search(word) else 1.0)
        for gram in _grams(word):
            sums[gram] += weight
    return {gram: sqrt(weight) for gram, weight in sums.items()}


def _grams(word: str) -> Iterator[str]:
    whole, sizes = (word, _UNSPACED) if _WITHOUT_SPACES.search(word) else (f" {word} ", _SPACED)
    for size in sizes:
        for start in range(len(whole) - size + 1):
            yield whole[start : start + size]
