"""What prompts are about, as their most telling words.

A word's weight is tf-idf over all prompts: its occurrences times ln(prompts / prompts that hold it), so that what
stands nearly everywhere weighs nothing. English function words are left out by scikit-learn's list; those of other
languages only by their weight.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from math import log

MIN_PROMPTS = 3  # a word of fewer prompts is no topic, and might point at somebody
MOST_WORDS = 200_000  # held at a time; beyond that those that were met once so far are forgotten
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]*(?:_\d+)?>")
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Topic:
    word: str
    prompts: int


@dataclass(slots=True)
class Topics:
    """Counts on the way."""

    prompts: int = 0
    occurrences: Counter[str] = field(default_factory=Counter)
    spread: Counter[str] = field(default_factory=Counter)  # in how many prompts

    def add(self, prompt: str) -> None:
        words = _WORD.findall(_PLACEHOLDER.sub(" ", prompt).casefold())
        self.prompts += 1
        self.occurrences.update(words)
        self.spread.update(set(words))
        if len(self.occurrences) > MOST_WORDS:
            for word in [word for word, count in self.occurrences.items() if count == 1]:
                del self.occurrences[word], self.spread[word]

    def heaviest(self, most: int) -> tuple[Topic, ...]:
        """The heaviest first, of equal ones the first of the alphabet. A word of every prompt is no topic."""
        weights = {
            word: self.occurrences[word] * log(self.prompts / spread)
            for word, spread in self.spread.items()
            if spread >= MIN_PROMPTS and word not in function_words()
        }
        ordered = sorted((-weight, word) for word, weight in weights.items() if weight > 0)
        return tuple(Topic(word, self.spread[word]) for _, word in ordered[:most])


@cache
def function_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)
