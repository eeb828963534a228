"""Texts as vectors whose inner product says how alike they are: by a sentence model where it is installed."""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

MOST_CHARACTERS = 5_000  # of a text, about 900 English words; longer ones cost seconds each


class Embedder(Protocol):
    """May be used by several threads. `version` changes whenever vectors may."""

    @property
    def version(self) -> str: ...

    @property
    def is_lexical(self) -> bool:
        """Whether it sees letters and not meaning."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, of length 1; of zeros for a text without words.

        A row hangs on the first `MOST_CHARACTERS` of its text alone, whatever else is asked.
        """
        ...


@cache
def lexical_embedder() -> Embedder:
    from gateway_tuning.evaluation.scoring.meaning.grams import CharacterGrams

    return CharacterGrams()


@cache
def best_embedder() -> Embedder:
    """The sentence model, one for the whole process; where its packages are missing, the lexical one.

    Raises:
        IntegrityError: the model is installed and is not the published one.
    """
    from gateway_tuning.evaluation.scoring.meaning import minilm

    return minilm.MiniLM() if minilm.is_installed() else lexical_embedder()
