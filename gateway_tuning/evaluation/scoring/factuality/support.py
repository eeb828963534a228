"""How far sources bear out a claim: the formula of the metric. Pure.

A claim has points: for each content word the square root of the number of the answer's claims that have it (what an
answer comes back to is what it is about), three for each figure, one more for each name. The best passage, one or two
neighbouring clauses of one source, gives the points of the words that it holds; a word, a figure or a name that the
user gave counts too. Figures and names may stand in any source. The share of points, squared, is the
claim's support: half of the words are found nearly everywhere. A figure that the passage gives differently, or a
negation on one side alone of two clauses that otherwise say the same, is a mark of contradiction: it leaves a
quarter.

The formula is our own; its constants were chosen on the WHO part of FeedbackQA and on errors planted in it
(`benchmarks/metrics.py`). It sees wording, not meaning: a paraphrase without common words is unsupported, and who
did what to whom is not seen.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway_tuning.evaluation.scoring.factuality.claims import Claim
from gateway_tuning.evaluation.scoring.factuality.figures import Figure, agrees, contradicts, handles

_FIGURE_POINTS = 3
_NAME_POINTS = 1
_LONGEST_PASSAGE = 2  # clauses
_EXPONENT = 2
_CONTRADICTED = 0.25
_ABOUT_THE_SAME = 0.5  # share of a claim's words that a clause needs for its figures to count as other ones
_COMPARED = 20  # clauses that share most words with a claim
_LOOKED_THROUGH = 500  # more are about the same in endless lists alone
_THE_SAME = 0.6  # share of the words of either clause that both need for a negation to make the difference


@dataclass(frozen=True, slots=True)
class Support:
    """`value` from 0 to 1; `points` is what the claim weighs; `unsupported`: figures and names that no source has."""

    value: float
    points: float
    unsupported: tuple[Figure, ...] = ()
    contradiction: str | None = None


def word_weights(claims: Sequence[Claim]) -> dict[str, float]:
    """Of an answer, for `Sources.support`."""
    counts = Counter(key for claim in claims for key in claim.keys)
    return {key: math.sqrt(count) for key, count in counts.items()}


class Sources:
    """What answers are held against: `evidence`, a text each, and what the user `said`.

    What the user said supports and never contradicts: it may be a question, or what the answer puts right.
    """

    def __init__(self, evidence: Sequence[Sequence[Claim]], said: Sequence[Claim] = ()) -> None:
        self._said = frozenset(key for claim in said for key in claim.keys)
        self._passages = list(_passages(evidence))
        self._clauses = sum(map(len, evidence))  # so many of the first passages have one clause
        self._places = _places(self._passages)
        self._keys = self._said | self._places.keys()
        self._figures = _by_handle(
            figure
            for claim in [*(claim for text in evidence for claim in text), *said]
            for figure in claim.figures
        )

    def support(self, claim: Claim, weights: Mapping[str, float]) -> Support:
        """`weights` are the points of each word."""
        missing_figures = [figure for figure in claim.figures if not self._has(figure)]
        missing_names = [name for name in claim.names if not self._keys.issuperset(name.values)]
        points = (
            self._covered(claim.keys, weights)
            + _FIGURE_POINTS * (len(claim.figures) - len(missing_figures))
            + _NAME_POINTS * (len(claim.names) - len(missing_names))
        )
        possible = (
            math.fsum(weights[key] for key in claim.keys)
            + _FIGURE_POINTS * len(claim.figures)
            + _NAME_POINTS * len(claim.names)
        )
        contradiction = self._contradiction(claim, missing_figures)
        value = min(1.0, points / possible) ** _EXPONENT * (_CONTRADICTED if contradiction else 1)
        return Support(value, possible, (*missing_figures, *missing_names), contradiction)

    def _covered(self, keys: frozenset[str], weights: Mapping[str, float]) -> float:
        """Points of the words that the user and the best passage hold together."""
        found = sorted(key for key in keys - self._said if key in self._places)
        held = 0.0
        if found:
            places = [self._places[key] for key in found]
            points = np.repeat([weights[key] for key in found], [one.size for one in places])
            held = float(np.bincount(np.concatenate(places), weights=points).max())
        return held + math.fsum(weights[key] for key in keys & self._said)

    def _contradiction(self, claim: Claim, missing: Sequence[Figure]) -> str | None:
        """By the clauses that are about the same: another figure, or a negation on one side alone."""
        counts = self._counts(claim.keys)[: self._clauses]
        similar = np.flatnonzero(counts >= max(1, _ABOUT_THE_SAME * len(claim.keys)))[:_LOOKED_THROUGH]
        for number in similar[(-counts[similar]).argsort(kind="stable")][:_COMPARED]:
            other = self._passages[number][0]
            for figure in missing:
                for given in other.figures:
                    if contradicts(figure, given):
                        return f"the source has {given.text}"
            differs = claim.negations % 2 != other.negations % 2 and not other.is_question
            if differs and counts[number] >= _THE_SAME * max(len(claim.keys), len(other.keys)):
                return "negated on one side alone"
        return None

    def _counts(self, keys: Iterable[str]) -> npt.NDArray[np.int64]:
        """How many of the keys each passage holds."""
        found = [self._places[key] for key in keys if key in self._places]
        together = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
        return np.bincount(together, minlength=len(self._passages))

    def _has(self, figure: Figure) -> bool:
        return any(
            agrees(figure, given)
            for value in figure.values
            for given in self._figures.get((figure.kind, value), ())
        )


def _passages(evidence: Sequence[Sequence[Claim]]) -> Iterator[Sequence[Claim]]:
    """Shortest first."""
    for length in range(1, _LONGEST_PASSAGE + 1):
        for text in evidence:
            for start in range(len(text) - length + 1):
                yield text[start : start + length]


def _places(passages: Sequence[Sequence[Claim]]) -> dict[str, npt.NDArray[np.int64]]:
    places: dict[str, list[int]] = defaultdict(list)
    for number, passage in enumerate(passages):
        for key in frozenset().union(*(claim.keys for claim in passage)):
            places[key].append(number)
    return {key: np.array(numbers, dtype=np.int64) for key, numbers in places.items()}


def _by_handle(figures: Iterable[Figure]) -> dict[Hashable, list[Figure]]:
    found: dict[Hashable, dict[Hashable, Figure]] = defaultdict(dict)
    for figure in figures:
        for handle in handles(figure):
            found[handle].setdefault((figure.values, figure.subject), figure)
    return {handle: list(different.values()) for handle, different in found.items()}
