"""What in a text is right or wrong to the letter: numbers with their units, dates, times, addresses, names. Pure."""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway_tuning.evaluation.scoring.factuality.dates import MONTH_KEYS, Day, find_dates
from gateway_tuning.evaluation.scoring.factuality.units import DIMENSIONS, MULTIPLIERS, NUMBER_WORDS, UNITS
from gateway_tuning.evaluation.scoring.factuality.words import FUNCTION_WORDS, content_keys, fold, key_of

Kind = Literal["number", "date", "time", "address", "name"]

_ADDRESS = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'\])]+|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|\b(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|gov|edu|int|io|uk|de|fr|es|it|nl|au|eu)(?:\.[a-z]{2})?\b(?:/[^\s<>\"'\])]*)?"
)
_TIME = re.compile(
    r"\b(?P<hour>[01]?[0-9]|2[0-4])(?:[:.](?P<minute>[0-5][0-9]))?\s?(?P<half>[ap])\.?m\b\.?"
    r"|\b(?P<hour2>[01]?[0-9]|2[0-4]):(?P<minute2>[0-5][0-9])\b"
)
_NUMBER = re.compile(
    r"(?P<before>us\$|[$€£¥])?\s?(?<![\w.,])(?<![^\W\d]-)(?P<sign>[-\u2212+](?=[0-9]))?"
    r"(?P<digits>[0-9]{1,3}(?:[ \u00a0\u202f'\u2019][0-9]{3})+(?:[.,][0-9]+)?|[0-9]+(?:[.,][0-9]+)*)"
    r"(?P<ordinal>st|nd|rd|th)?(?=\W|[a-z]{1,3}\b|\Z)"
)
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(sorted(NUMBER_WORDS, key=len, reverse=True))})\b")
_AFTER = re.compile(r"[\s\u00a0-]{0,2}(?P<word>por ciento|per cent|[^\W\d_]+\$?|[%€£¥]|°\s?[cf]\b)")
_SPAN = re.compile(r"\s?(?:-|\u2013|to|bis|or)\s?[0-9]+(?:[.,][0-9]+)?(?=\D)")
_OF = frozenset({"of", "de", "di"})
_SPELLED = {"per cent": "percent", "° c": "°c", "° f": "°f"}
_SHORT_MULTIPLIERS = {"m": "million", "b": "billion", "t": "trillion"}  # of money
_GROUP = re.compile(r"[0-9]{1,3}(?:(?P<mark>[.,])[0-9]{3})(?:(?P=mark)[0-9]{3})*")
_CAPITALIZED = r"[^\W\d_a-zß-öø-ÿ][\w'\u2019&-]*[^\W_]"
_NAME = re.compile(
    r"(?<!\A)(?<!\n)(?<![.!?:;\n\"\u201c\u201d(*\u2022-]\s)(?<![\w'\u2019\"\u201c(*])"
    rf"{_CAPITALIZED}(?:\s(?:(?:of|the|de|von|van|du|la|for)\s)?{_CAPITALIZED}){{0,5}}"
)
_MID_WORD = re.compile(r"(?<=[^\W\d_] )[^\W\d_]+")
_GERMAN = re.compile(r"\b(?:der|das|dem|und|ist|sind|nicht|eine?[mnrs]?|wird|auf|für)\b")
_TITLE_CASE = 0.7
_MIN_WORDS = 8
_NOON = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """`values` are all readings of what is written: 1.000 is one or a thousand.

    Numbers are in the base unit of what they measure. `subject` is what is measured or counted: a dimension
    ("time"), or the key of the noun; empty where nothing tells.
    """

    kind: Kind
    text: str
    values: frozenset[Decimal] | frozenset[Day] | frozenset[str]
    subject: str = ""


def find_figures(text: str) -> list[Figure]:
    """All but names, in order of kinds: addresses, dates, times, numbers. None is part of another."""
    folded = fold(text)
    found: list[Figure] = []
    for finder in (_addresses, _dates, _times, _numbers):
        spans: list[tuple[int, int]] = []
        for start, end, figure in finder(folded):
            spans.append((start, end))
            found.append(figure)
        folded = _blanked(folded, spans)
    return found


def find_names(text: str) -> list[Figure]:
    """Capitalised runs that no sentence begins with.

    None in German, whose nouns look the same, and where most words have capitals, as in titles.
    """
    inner = _MID_WORD.findall(text)
    capitals = sum(word[0].isupper() for word in inner)
    if not capitals or (len(inner) >= _MIN_WORDS and capitals > _TITLE_CASE * len(inner)):
        return []
    if _GERMAN.search(text):
        return []
    names = []
    for found in _NAME.finditer(text):
        keys = frozenset(content_keys(found[0])) - MONTH_KEYS
        if keys:
            names.append(Figure("name", found[0], keys))
    return names


def agrees(claimed: Figure, given: Figure) -> bool:
    """Whether some reading of the one is, or follows from, some reading of the other. Not for names."""
    measured = {claimed.subject, given.subject} & DIMENSIONS and claimed.subject and given.subject
    if measured and claimed.subject != given.subject:
        return False
    return any((claimed.kind, value) in handles(given) for value in claimed.values)


def handles(figure: Figure) -> frozenset[Hashable]:
    """What a figure can be looked up by: readings, and what each of them says in less detail."""
    return frozenset(
        (figure.kind, one)
        for value in figure.values
        for one in (value.generalized() if isinstance(value, Day) else (value,))
    )


def contradicts(claimed: Figure, given: Figure) -> bool:
    """Whether both measure or count the same, or say when, and neither follows from the other."""
    if claimed.kind != given.kind or claimed.kind in {"address", "name"}:
        return False
    same = claimed.kind != "number" or bool(claimed.subject and claimed.subject == given.subject)
    return same and not agrees(claimed, given) and not agrees(given, claimed)


def _blanked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A sign in place of what was read, so that nothing reads on across it."""
    parts, last = [], 0
    for start, end in sorted(spans):
        parts += [text[last:start], " \u2402 "]
        last = end
    return "".join([*parts, text[last:]])


def _addresses(folded: str) -> Iterator[tuple[int, int, Figure]]:
    for found in _ADDRESS.finditer(folded):
        written = found[0].rstrip(".,;:!?")
        plain = re.sub(r"\A(?:https?://)?(?:www\.)?", "", written).rstrip("/")
        yield found.start(), found.start() + len(written), Figure("address", written, frozenset({plain}))


def _dates(folded: str) -> Iterator[tuple[int, int, Figure]]:
    for start, end, readings in find_dates(folded):
        yield start, end, Figure("date", folded[start:end].strip(), readings)


def _times(folded: str) -> Iterator[tuple[int, int, Figure]]:
    for found in _TIME.finditer(folded):
        hour = int(found["hour"] or found["hour2"])
        if found["half"]:
            hour = hour % _NOON + (_NOON if found["half"] == "p" else 0)
        value = f"{hour:02}:{int(found['minute'] or found['minute2'] or 0):02}"
        yield *found.span(), Figure("time", found[0].strip(), frozenset({value}))


def _numbers(folded: str) -> Iterator[tuple[int, int, Figure]]:
    for found in _NUMBER.finditer(folded):
        readings = _readings(found["digits"])
        if found["sign"] and found["sign"] != "+":
            readings = frozenset(-value for value in readings)
        yield *found.span(), _measured(folded, found.end(), found["before"], readings, found[0].strip())
    for found in _NUMBER_WORD.finditer(folded):
        readings = frozenset({Decimal(NUMBER_WORDS[found[0]])})
        yield *found.span(), _measured(folded, found.end(), None, readings, found[0])


def _readings(digits: str) -> frozenset[Decimal]:
    plain = re.sub(r"[ \u00a0\u202f'\u2019]", "", digits)
    readings = set()
    if _GROUP.fullmatch(plain):
        readings.add(Decimal(re.sub(r"[.,]", "", plain)))
    marks = re.findall(r"[.,]", plain)
    if len(marks) <= 1:
        readings.add(Decimal(plain.replace(",", ".")))
    elif marks[-1] not in marks[:-1]:  # 1.234,50 and 1,234.50: the last one is the decimal mark
        whole, _, fraction = plain.rpartition(marks[-1])
        readings.add(Decimal(re.sub(r"[.,]", "", whole) + "." + fraction))
    elif not readings:  # 1.2.3 is no number; its digits tell it from others
        readings.add(Decimal(re.sub(r"[.,]", "", plain)))
    return frozenset(value.normalize() for value in readings)


def _measured(
    folded: str, end: int, currency: str | None, readings: frozenset[Decimal], written: str
) -> Figure:
    """With the multiplier, and the unit or noun that stand behind the number or behind the range that it begins."""
    subject, factor = "", Decimal(1)
    span = _SPAN.match(folded, end)
    at, told = (span.end() if span else end), end
    for _ in range(3):
        after = _AFTER.match(folded, at)
        if after is None:
            break
        word, at = _SPELLED.get(after["word"], after["word"]), after.end()
        word = _SHORT_MULTIPLIERS.get(word, word) if currency else word
        if word in MULTIPLIERS:
            factor, told = factor * MULTIPLIERS[word], at
        elif word in UNITS:
            subject, size = UNITS[word]
            factor, told = factor * Decimal(str(size)), at
            break
        elif word not in _OF:
            subject = "" if word in FUNCTION_WORDS else key_of(word)
            break
    if currency:
        subject = UNITS[currency][0]
    text = written if span else written + folded[end:told]
    return Figure("number", text, frozenset((value * factor).normalize() for value in readings), subject)
