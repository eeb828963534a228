"""Numbered placeholders in place of personal data, the same ones in all texts of a record. Pure.

Irreversible: what stood behind a placeholder is kept nowhere.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway_tuning.anonymization.recognition import IDENTIFYING_ENTITIES, Span
from gateway_tuning.errors import AnonymizationError

_CODES = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "US_ITIN", "US_PASSPORT"})
_PHONE_DIGITS = 9  # the last ones tell numbers apart; before them stand country and trunk codes
_POSSESSIVE = re.compile(r"['\u2019]s$")


@dataclass(frozen=True, slots=True)
class AnonymizedRecord:
    """`fields` as given, with placeholders such as `<PERSON_1>`; `entities` counts them by entity."""

    fields: dict[str, str]
    entities: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    identity: str


def mask(
    fields: Mapping[str, str],
    spans: Mapping[str, Sequence[Span]],
    *,
    entities: Sequence[str] = IDENTIFYING_ENTITIES,
) -> AnonymizedRecord:
    """Put placeholders in place of the spans, and of every other occurrence of their values in the record.

    Every character of a span goes, save white space at its ends and the characters that are a placeholder
    already. Where spans overlap, the longest is one entity, then the one with the best score, then the first;
    what the others have beyond it is an entity of its own. Numbers count from 1 for each entity, by first
    appearance; those that stand in the texts already are left out, so that a new one always means someone new.

    Raises:
        AnonymizationError: a span lies outside its text, or its field does not exist.
    """
    used = {span.entity for found in spans.values() for span in found}
    known = _placeholder_pattern({*entities, *used})
    _check(fields, spans)
    covered = {name: _cover(text, known) for name, text in fields.items()}
    names: dict[str, tuple[float, str]] = {}  # identity -> score and entity of its surest span
    pieces: dict[str, list[_Piece]] = {name: [] for name in fields}
    for name, text in fields.items():
        for span, start, end in _cut(text, spans.get(name, ()), covered[name]):
            identity = _identity(text[start:end], span.entity)
            pieces[name].append(_Piece(start, end, identity))
            if identity not in names or span.score > names[identity][0]:
                names[identity] = (span.score, span.entity)
    values = {
        fields[name][piece.start : piece.end]: piece.identity for name in fields for piece in pieces[name]
    }
    for name, text in fields.items():
        pieces[name].extend(_repetitions(text, values, covered[name]))
    return _write(fields, pieces, {key: entity for key, (_, entity) in names.items()}, known)


def _write(
    fields: Mapping[str, str],
    pieces: Mapping[str, list[_Piece]],
    entity_of: Mapping[str, str],
    known: re.Pattern[str],
) -> AnonymizedRecord:
    taken = {found.group() for text in fields.values() for found in known.finditer(text)}
    last: Counter[str] = Counter()
    placeholders: dict[str, str] = {}
    counts: Counter[str] = Counter()
    masked: dict[str, str] = {}
    for name, text in fields.items():
        parts, position = [], 0
        for piece in sorted(pieces[name], key=lambda piece: piece.start):
            entity = entity_of[piece.identity]
            if piece.identity not in placeholders:
                placeholders[piece.identity] = _next_placeholder(entity, last, taken)
            counts[entity] += 1
            parts += [text[position : piece.start], placeholders[piece.identity]]
            position = piece.end
        masked[name] = "".join([*parts, text[position:]])
    return AnonymizedRecord(masked, dict(sorted(counts.items())))


def _next_placeholder(entity: str, last: Counter[str], taken: set[str]) -> str:
    while True:
        last[entity] += 1
        placeholder = f"<{entity}_{last[entity]}>"
        if placeholder not in taken:
            return placeholder


def _placeholder_pattern(entities: Iterable[str]) -> re.Pattern[str]:
    # At most six digits: no telephone number passes for a placeholder.
    return re.compile(rf"<(?:{'|'.join(sorted(map(re.escape, entities)))})_[1-9]\d{{0,5}}>", re.ASCII)


def _check(fields: Mapping[str, str], spans: Mapping[str, Sequence[Span]]) -> None:
    for name, found in spans.items():
        if name not in fields:
            raise AnonymizationError(f"{name} has spans and no text")
        if any(not 0 <= span.start < span.end <= len(fields[name]) for span in found):
            raise AnonymizationError(f"{name} has a span outside its {len(fields[name])} characters")


def _cover(text: str, known: re.Pattern[str]) -> bytearray:
    covered = bytearray(len(text))
    for found in known.finditer(text):
        covered[found.start() : found.end()] = b"\1" * (found.end() - found.start())
    return covered


def _cut(text: str, spans: Sequence[Span], covered: bytearray) -> Iterator[tuple[Span, int, int]]:
    """What each span has for itself, as (span, start, end); marked in `covered`."""
    order = sorted(spans, key=lambda span: (span.start - span.end, -span.score, span.start, span.entity))
    for span in order:
        for free_start, free_end in list(_free_runs(covered, span.start, span.end)):
            value = text[free_start:free_end]
            start = free_start + len(value) - len(value.lstrip())
            end = free_end - (len(value) - len(value.rstrip()))
            if any(character.isalnum() for character in text[start:end]):
                covered[start:end] = b"\1" * (end - start)
                yield span, start, end


def _free_runs(covered: bytearray, start: int, end: int) -> Iterator[tuple[int, int]]:
    while (start := covered.find(0, start, end)) >= 0:
        stop = covered.find(1, start, end)
        stop = end if stop < 0 else stop
        yield start, stop
        start = stop


def _identity(value: str, entity: str) -> str:
    """Equal for two spellings of one value: case, white space, separators in numbers, a possessive s."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    if entity in _CODES:
        code = "".join(character for character in folded if character.isalnum())
        return code[-_PHONE_DIGITS:] if entity == "PHONE_NUMBER" else code
    return " ".join(_POSSESSIVE.sub("", folded.strip()).split())


def _repetitions(text: str, values: Mapping[str, str], covered: bytearray) -> list[_Piece]:
    """Whole-word occurrences of `values` (value -> identity) where nothing is covered yet."""
    # A single character may be a word of its own anywhere.
    longest_first = sorted(
        (value for value in values if len(value) > 1), key=lambda value: (-len(value), value)
    )
    if not longest_first:
        return []
    anyone = "|".join(f"({_pattern_of(value)})" for value in longest_first)
    pattern = re.compile(rf"(?<!\w)(?:{anyone})(?!\w)")
    # Each gap on its own: a placeholder beside it is a boundary, before and after it is written.
    return [
        _Piece(start + found.start(), start + found.end(), values[longest_first[(found.lastindex or 0) - 1]])
        for start, end in _free_runs(covered, 0, len(text))
        for found in pattern.finditer(text[start:end])
    ]


def _pattern_of(value: str) -> str:
    pattern = r"\s+".join(map(re.escape, value.split()))
    # One word alone keeps its case: Mark is a person, to mark is not.
    return pattern if value.isalpha() else f"(?i:{pattern})"
