"""Placeholders or pseudonyms in place of personal data, the same ones in all texts of a record. Pure.

Irreversible where placeholders are written: what stood behind one is kept nowhere.
"""

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway_tuning.anonymization.entities import IDENTIFYING_ENTITIES, Span
from gateway_tuning.anonymization.mentions.common_words import COMMON
from gateway_tuning.anonymization.mentions.people import (
    find_mentions,
    fold,
    fuller_names,
    make_lexicon,
    name_words,
)
from gateway_tuning.anonymization.mentions.values import (
    find_repetitions,
    fold_value,
    identity_of,
    is_one_word,
    without_possessive,
)
from gateway_tuning.anonymization.pseudonyms.keyed import Pseudonyms
from gateway_tuning.anonymization.pseudonyms.placeholders import next_placeholder, placeholder_pattern
from gateway_tuning.errors import AnonymizationError

NUMBER = "NUMBER"
"""The entity of a number that nothing else covers, where numbers are masked."""

_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,]\d+)*(?!\w)")
_BETWEEN_NAMES = re.compile(r"[^\S\n]{1,3}")


@dataclass(frozen=True, slots=True)
class Replacement:
    """`text[start:end]` of the original field, in code points, and what stands there now.

    A pseudonym that would touch a letter or digit has a space between. `score` is that of the surest span of the same value, for what was found by looking for it again too.
    """

    field: str
    start: int
    end: int
    entity: str
    score: float
    text: str


@dataclass(frozen=True, slots=True)
class AnonymizedRecord:
    """`fields` as given, with placeholders such as `<PERSON_1>`; `entities` counts them by entity.

    `replacements` go by field and position.
    """

    fields: dict[str, str]
    entities: dict[str, int]
    replacements: tuple[Replacement, ...] = ()


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
    allowed: Container[str] = frozenset(),
    mask_numbers: bool = False,
    pseudonyms: Pseudonyms | None = None,
    pseudonymized: Container[str] = frozenset(),
) -> AnonymizedRecord:
    """Replace the spans, and every other occurrence of their values in the record.

    Every character of a span goes, save white space at its ends and the characters that are a placeholder
    already. Where spans overlap, the longest is one entity, then the one with the best score, then the first;
    what the others have beyond it is an entity of its own. A person is found again by parts of the name too,
    see `mentions.people`. Numbers of placeholders count from 1 for each entity, by first appearance; those that stand
    in the texts already are left out, so that a new one always means someone new.

    Args:
        fields: texts by field name.
        spans: what was found in them.
        entities: whose placeholders are known as such in the texts; those of the spans are in any case.
        allowed: values that stay, as `mentions.values.fold_value` gives them.
        mask_numbers: also replace each run of digits that is a word of its own, with its separators `.` and `,`.
        pseudonyms: knows pseudonyms in the texts, which stay, and makes those of `pseudonymized`.
        pseudonymized: the entities that get one instead of a placeholder.

    Raises:
        AnonymizationError: a span lies outside its text, or its field does not exist.
    """
    used = {span.entity for found in spans.values() for span in found}
    known = placeholder_pattern({*entities, *used, NUMBER})
    _check(fields, spans)
    covered = {name: _cover(text, known, pseudonyms) for name, text in fields.items()}
    kept = {name: bytes(cover) for name, cover in covered.items()}
    names: dict[str, tuple[float, str]] = {}  # identity -> score and entity of its surest span
    pieces: dict[str, list[_Piece]] = {name: [] for name in fields}
    for name, text in fields.items():
        wanted, staying = _sorted_out(text, spans.get(name, ()), allowed)
        for span, start, end in _cut(text, wanted, covered[name]):
            if _is_beside_kept(text[start:end], span, kept[name]):
                covered[name][start:end] = bytes(end - start)  # for what others find in it, such as a number
                continue
            identity = identity_of(text[start:end], span.entity)
            pieces[name].append(_Piece(start, end, identity))
            if identity not in names or span.score > names[identity][0]:
                names[identity] = (span.score, span.entity)
        for span in staying:
            covered[name][span.start : span.end] = b"\1" * (span.end - span.start)
    if names:
        _add_mentions(fields, pieces, names, covered, allowed)
    if mask_numbers:
        for name, text in fields.items():
            for piece in _numbers(text, covered[name], allowed):
                pieces[name].append(piece)
                names[piece.identity] = (1.0, NUMBER)
    return _write(fields, pieces, names, known=known, pseudonyms=pseudonyms, pseudonymized=pseudonymized)


def _sorted_out(text: str, spans: Sequence[Span], allowed: Container[str]) -> tuple[list[Span], list[Span]]:
    """Spans to replace, and spans whose value is allowed."""
    wanted: list[Span] = []
    staying: list[Span] = []
    for span in spans:
        is_allowed = fold_value(text[span.start : span.end]) in allowed
        (staying if is_allowed else wanted).append(span)
    return wanted, staying


def _add_mentions(
    fields: Mapping[str, str],
    pieces: dict[str, list[_Piece]],
    names: dict[str, tuple[float, str]],
    covered: Mapping[str, bytearray],
    allowed: Container[str],
) -> None:
    """Whatever else in the record stands for what was found; short names take the identity of the full one."""
    people = {identity: name_words(identity) for identity, (_, entity) in names.items() if entity == "PERSON"}
    merged, fullest = fuller_names(people)
    values: dict[str, str] = {}
    for name, text in fields.items():
        for piece in pieces[name]:
            value = without_possessive(text[piece.start : piece.end])
            if len(value) > 1:  # a single character may be a word of its own anywhere
                values.setdefault(value, merged.get(piece.identity, piece.identity))
        pieces[name] = [
            replace(piece, identity=merged.get(piece.identity, piece.identity)) for piece in pieces[name]
        ]
    words = {value: identity for value, identity in values.items() if is_one_word(value)}
    longer = {value: identity for value, identity in values.items() if value not in words}
    lexicon = make_lexicon(words, {one: people[one] for one in people if one in fullest and people[one]})
    surest = max((names[one][0] for one in people), default=0.0)
    for name, text in fields.items():
        gaps = list(_free_runs(covered[name], 0, len(text)))
        for start, end, identity in find_repetitions(text, longer, gaps):
            _take(_Piece(start, end, identity), pieces[name], covered[name])
        for start, end in list(_free_runs(covered[name], 0, len(text))):
            for found in find_mentions(text[start:end], lexicon):
                if fold_value(text[start + found.start : start + found.end]) not in allowed:
                    _take(
                        _Piece(start + found.start, start + found.end, found.identity),
                        pieces[name],
                        covered[name],
                    )
                    # What may be either of two persons has no span of its own.
                    names.setdefault(found.identity, (surest, "PERSON"))
        pieces[name] = _joined(text, pieces[name], people)


def _take(piece: _Piece, pieces: list[_Piece], covered: bytearray) -> None:
    pieces.append(piece)
    covered[piece.start : piece.end] = b"\1" * (piece.end - piece.start)


def _joined(text: str, pieces: Sequence[_Piece], people: Mapping[str, Sequence[str]]) -> list[_Piece]:
    """In order, with parts of one name that stand side by side as one piece."""
    joined: list[_Piece] = []
    for piece in sorted(pieces, key=lambda piece: piece.start):
        last = joined[-1] if joined else None
        is_one_name = (
            last is not None and last.identity == piece.identity and len(people.get(piece.identity, ())) > 1
        )
        if last is not None and is_one_name and _BETWEEN_NAMES.fullmatch(text, last.end, piece.start):
            joined[-1] = replace(last, end=piece.end)
        else:
            joined.append(piece)
    return joined


def _numbers(text: str, covered: bytearray, allowed: Container[str]) -> Iterator[_Piece]:
    for start, end in list(_free_runs(covered, 0, len(text))):
        for found in _NUMBER.finditer(text[start:end]):
            if fold_value(found.group()) not in allowed:
                yield _Piece(start + found.start(), start + found.end(), f"{NUMBER} {found.group()}")


def _write(
    fields: Mapping[str, str],
    pieces: Mapping[str, list[_Piece]],
    names: Mapping[str, tuple[float, str]],
    *,
    known: re.Pattern[str],
    pseudonyms: Pseudonyms | None,
    pseudonymized: Container[str],
) -> AnonymizedRecord:
    taken = {found.group() for text in fields.values() for found in known.finditer(text)}
    last: Counter[str] = Counter()
    written: dict[str, str] = {}
    replacements: list[Replacement] = []
    masked: dict[str, str] = {}
    for name, text in fields.items():
        parts: list[str] = []
        position = 0
        for piece in sorted(pieces[name], key=lambda piece: piece.start):
            score, entity = names[piece.identity]
            if piece.identity not in written:
                if pseudonyms is not None and entity in pseudonymized:
                    original = text[piece.start : piece.end]
                    written[piece.identity] = pseudonyms.make(entity, piece.identity, original, taken)
                    taken.add(written[piece.identity])
                else:
                    written[piece.identity] = next_placeholder(entity, last, taken)
            now = written[piece.identity]
            if not now.startswith("<"):  # a word of its own, so that it is known again
                before = (parts[-1] if parts and position == piece.start else "") + text[
                    position : piece.start
                ]
                now = " " * _ends_in_word(before) + now + " " * _ends_in_word(text[piece.end : piece.end + 1])
            replacements.append(Replacement(name, piece.start, piece.end, entity, score, now))
            parts += [text[position : piece.start], now]
            position = piece.end
        masked[name] = "".join([*parts, text[position:]])
    counts = Counter(one.entity for one in replacements)
    return AnonymizedRecord(masked, dict(sorted(counts.items())), tuple(replacements))


def _ends_in_word(text: str) -> bool:
    return text[-1:].isalnum() or text.endswith("_")


def _check(fields: Mapping[str, str], spans: Mapping[str, Sequence[Span]]) -> None:
    for name, found in spans.items():
        if name not in fields:
            raise AnonymizationError(f"{name} has spans and no text")
        if any(not 0 <= span.start < span.end <= len(fields[name]) for span in found):
            raise AnonymizationError(f"{name} has a span outside its {len(fields[name])} characters")


def _cover(text: str, known: re.Pattern[str], pseudonyms: Pseudonyms | None) -> bytearray:
    covered = bytearray(len(text))
    runs = [found.span() for found in known.finditer(text)]
    for start, end in [*runs, *(pseudonyms.find(text) if pseudonyms else ())]:
        covered[start:end] = b"\1" * (end - start)
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


def _is_beside_kept(value: str, span: Span, kept: bytes) -> bool:
    """Whether it is words that a model took into the name or place that a placeholder or pseudonym stands for.

    What looks like another name goes all the same.
    """
    if span.entity not in ("PERSON", "LOCATION", "STREET_ADDRESS") or 1 not in kept[span.start : span.end]:
        return False
    return not any(word[0].isupper() for word in re.findall(r"[^\W_]+", value) if fold(word) not in COMMON)


def _free_runs(covered: bytearray, start: int, end: int) -> Iterator[tuple[int, int]]:
    while (start := covered.find(0, start, end)) >= 0:
        stop = covered.find(1, start, end)
        stop = end if stop < 0 else stop
        yield start, stop
        start = stop
