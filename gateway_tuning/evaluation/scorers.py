"""How close an answer is to the preferred one. Word sets see wording, not truth."""

import re
from collections.abc import Sequence

_PUNCTUATION = re.compile(r"[^\w\s]")


def word_set_similarity(answer: str, preferred: str) -> float:
    """Jaccard index of the two sets of words, |A and B| / |A or B|, from 0 to 1.

    Words are lower-cased runs between white space and punctuation; order and repetition do not count. Without
    any word on one side the similarity is 0, also between two empty texts.
    """
    ours, theirs = _words(answer), _words(preferred)
    union = ours | theirs
    return len(ours & theirs) / len(union) if union else 0.0


def accuracy(similarities: Sequence[float], threshold: float) -> float | None:
    """Share of the answers whose similarity is above (not at) the threshold; None without answers."""
    if not similarities:
        return None
    return sum(value > threshold for value in similarities) / len(similarities)


def _words(text: str) -> frozenset[str]:
    return frozenset(_PUNCTUATION.sub(" ", text.lower()).split())
