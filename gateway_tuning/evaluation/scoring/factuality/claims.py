"""What a text claims: its sentences and clauses, those that say something. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gateway_tuning.evaluation.scoring.factuality.figures import Figure, find_figures, find_names
from gateway_tuning.evaluation.scoring.factuality.words import content_keys, count_negations

_SENTENCE_END = re.compile(
    r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c(\[]*[^\Wa-zß-öø-ÿ])"
    r"|(?<=[\u3002\uff01\uff1f])"
    r"|\n\s*(?:\n|[-*\u2022#>]|\d{1,2}[.)]\s)"
)
_ABBREVIATED = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|nr|vs|e\.g|i\.e|z\.b|bzw|ca|approx|fig|sr|jr)|\b[A-Z])\.\Z",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"(?<=[;:])\s+|\s+[\u2013\u2014-]\s+|,\s+(?=(?:but|although|whereas|while|aber|mais|pero|ma|maar|mas)\s)"
)
_QUESTION = re.compile(r"[?\uff1f][\"'\u201d\u2019)\]]*\s*\Z")
_MIN_KEYS = 3  # content words: a clause of fewer says nothing by itself
_LONGEST = 600  # characters; longer ones are lists or have no punctuation


@dataclass(frozen=True, slots=True)
class Claim:
    """`keys` are those of its content words, without names apart; `negations` are counted."""

    text: str
    keys: frozenset[str]
    figures: tuple[Figure, ...]
    names: tuple[Figure, ...]
    negations: int
    is_question: bool


def find_claims(text: str) -> list[Claim]:
    """Clauses with a content word or a figure, in order; questions too, and they are marked.

    A clause of fewer than three content words is read together with its neighbour in the sentence.
    """
    claims = [_read(clause) for sentence in _sentences(text) for clause in _clauses(sentence)]
    return [claim for claim in claims if claim.keys or claim.figures]


@lru_cache(maxsize=10_000)
def _read(text: str) -> Claim:
    return Claim(
        text,
        frozenset(content_keys(text)),
        tuple(find_figures(text)),
        tuple(find_names(text)),
        count_negations(text),
        _QUESTION.search(text) is not None,
    )


def _sentences(text: str) -> Iterator[str]:
    """Marks of the end before a capital, a digit or a script without case; items of lists; empty lines."""
    begun = ""
    for part in _SENTENCE_END.split(text):
        begun = f"{begun} {part.strip()}".strip()
        if begun and not _ABBREVIATED.search(begun[-12:]):
            yield from _pieces(begun)
            begun = ""
    if begun:
        yield from _pieces(begun)


def _pieces(sentence: str) -> Iterator[str]:
    """At most `_LONGEST` characters each, cut between words where there are some."""
    at = 0
    while len(sentence) - at > _LONGEST:
        cut = sentence.rfind(" ", at + _LONGEST // 2, at + _LONGEST)
        cut = at + _LONGEST if cut < 0 else cut
        yield sentence[at:cut].strip()
        at = cut
    yield sentence[at:].strip()


def _clauses(sentence: str) -> list[str]:
    parts = _CLAUSE_END.split(sentence)
    if len(parts) == 1:
        return parts
    clauses: list[str] = []
    last = 0
    for part in parts:
        size = len(frozenset(content_keys(part)))
        if clauses and (size < _MIN_KEYS or last < _MIN_KEYS):
            clauses[-1] = f"{clauses[-1]} {part}"
            last += size
        else:
            clauses.append(part)
            last = size
    return clauses
