"""Which words of two answers differ. Pure."""

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher

# A word, a sign, or a character of a script without spaces; with the white space that follows, so that nothing is lost.
_TOKEN = re.compile(r"\s+|(?:[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+|[^\w\s])\s*")
MOST_WORDS = 1_000
MOST_PAIRS = 40_000  # of equal words; any two texts of 200 words have fewer
LEAST_IN_COMMON = 0.2


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Marked:
    """The pieces of a text join to the text itself. `note` says why nothing is marked, where that is so."""

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    note: str | None = None


def marked(before: str, after: str) -> Marked:
    """Differences by words, white space aside.

    Texts of more than `MOST_WORDS` words are not compared, nor those that repeat a few words on and on: the time grows
    with the pairs of equal words. Texts that have less than `LEAST_IN_COMMON` of their words in common are not marked:
    nearly all would be.
    """
    if before == after:
        return Marked(_plain(before), _plain(after), "Both answers are the same.")
    ours, theirs = _TOKEN.findall(before), _TOKEN.findall(after)
    if max(len(ours), len(theirs)) > MOST_WORDS:
        note = f"Differences are marked up to {MOST_WORDS:,} words."
        return Marked(_plain(before), _plain(after), note)
    first_words, second_words = ([token.rstrip() for token in side] for side in (ours, theirs))
    counts = Counter(second_words)
    if sum(counts[word] for word in first_words) > MOST_PAIRS:
        note = "Words repeat too often for differences to be marked."
        return Marked(_plain(before), _plain(after), note)
    matcher = SequenceMatcher(None, first_words, second_words, autojunk=False)
    if matcher.ratio() < LEAST_IN_COMMON:
        return Marked(_plain(before), _plain(after), "Nearly all words differ; none is marked.")
    first: list[Piece] = []
    second: list[Piece] = []
    for kind, left, right, start, end in matcher.get_opcodes():
        first += _piece(ours[left:right], changed=kind != "equal")
        second += _piece(theirs[start:end], changed=kind != "equal")
    return Marked(tuple(first), tuple(second))


def _piece(tokens: list[str], *, changed: bool) -> list[Piece]:
    return [Piece("".join(tokens), changed)] if tokens else []


def _plain(text: str) -> tuple[Piece, ...]:
    return tuple(_piece([text], changed=False)) if text else ()
