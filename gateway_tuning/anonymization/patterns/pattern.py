"""A regular expression for one entity, and what a text must hold before it is worth running. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway_tuning.anonymization.entities import Span
from gateway_tuning.anonymization.patterns.word_filter import WordFilter, mark

UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻĽŁŃŅŇŌŐŒŔŘŚŞŠŢŤŪŮŰŲŹŻŽΑ-ΩΆΈΉΊΌΎΏА-Я"
LETTER = r"[^\W\d_]"
NAME_REST = rf"(?:{LETTER}|['\u2019\-](?={LETTER})){{0,40}}"
NAME_WORD = rf"[{UPPER}]{NAME_REST}"
"""A capitalized word: Müller, O'Neil, Jean-Luc. Its parts exclude each other and its length is bounded, so matching is linear."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """The group `value` of `expression` is the span, where there is one; else the whole match.

    The text must hold a run of at least `digits` digits, separators aside, and, in lower case, one of `needs` (if any). An `anchored`
    expression begins with one of `needs`, and is tried there alone.
    """

    entity: str
    expression: re.Pattern[str]
    score: float
    needs: tuple[str, ...] = ()
    digits: int = 0
    check: Callable[[str], bool] | None = None
    anchored: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A text and what prefilters ask of it. Positions hold for `text` alone: lower case may be longer.

    `digits` is the length of the longest run of digits, separators aside; `near_digits` surrounds them all.
    `marked` is for a `WordFilter`.
    """

    text: str
    lower: str
    marked: NDArray[np.bool_]
    digits: int
    near_digits: tuple[tuple[int, int], ...]


_MARGIN = 64  # characters on either side of a digit: further away nothing belongs to its number
_RUN = re.compile(r"[0-9](?:[ ().\-/\u2010-\u2013\u00a0]{0,3}[0-9])*")


def prepare(text: str) -> Text:
    runs = list(_RUN.finditer(text))
    longest = max((sum(map(str.isdigit, run[0])) for run in runs), default=0)
    near = tuple(merge((run.start() - _MARGIN, run.end() + _MARGIN) for run in runs))
    lower = text.lower()
    return Text(text, lower, mark(lower), longest, near)


def merge(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges in order of their starts, joined where they meet, from position 0 on."""
    start = end = -1
    for from_, to in ranges:
        if end < 0:
            start, end = max(0, from_), to
        elif from_ <= end:
            end = max(end, to)
        else:
            yield start, end
            start, end = from_, to
    if end >= 0:
        yield start, end


class Patterns:
    """Patterns that are looked for together."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._all = tuple(patterns)
        self._without_needs = [pattern for pattern in self._all if not pattern.needs]
        self._words = WordFilter([pattern.needs for pattern in self._all])

    def find(self, text: Text) -> Iterator[Span]:
        for pattern in self._without_needs:
            if text.digits >= pattern.digits:
                yield from _spans(pattern, _search(pattern, text))
        same_positions = len(text.lower) == len(text.text)
        searched: set[int] = set()
        for number, word in self._words.possible(text.marked):
            pattern = self._all[number]
            if text.digits < pattern.digits or number in searched:
                continue
            if pattern.anchored and same_positions:
                yield from _spans(pattern, _match_at(word, pattern.expression, text))
            elif word in text.lower:
                searched.add(number)
                yield from _spans(pattern, _search(pattern, text))


def _spans(pattern: Pattern, matches: Iterable[re.Match[str]]) -> Iterator[Span]:
    group = "value" if "value" in pattern.expression.groupindex else 0
    for found in matches:
        start, end = found.span(group)
        if start < end and (pattern.check is None or pattern.check(found[group])):
            yield Span(start, end, pattern.entity, pattern.score)


def _search(pattern: Pattern, text: Text) -> Iterator[re.Match[str]]:
    if not pattern.digits:
        yield from pattern.expression.finditer(text.text)
        return
    for start, end in text.near_digits:
        yield from pattern.expression.finditer(text.text, start, end)


def _match_at(anchor: str, expression: re.Pattern[str], text: Text) -> Iterator[re.Match[str]]:
    position = text.lower.find(anchor)
    while position >= 0:
        found = expression.match(text.text, position)
        if found:
            yield found
        position = text.lower.find(anchor, position + 1)
