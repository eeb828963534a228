"""Dates of birth moved by an offset into centuries whose people have all died. Pure.

A date of birth that stayed in living memory would be somebody's, and could not be told from one that is still
to be hidden. Day, month and year all change; what the text says of an age no longer fits.
"""

import re
from datetime import date
from typing import Protocol

_FIRST_OF_THE_LIVING = 1900
_DAYS = 73_049  # 200 years
_FARTHEST = 730  # days beside the centuries, either way
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_MONTH = rf"(?P<month>(?:{'|'.join(name[:3] for name in _MONTHS)})[a-z]*)\.?"
_FORMATS = (
    re.compile(r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})", re.ASCII),
    re.compile(r"(?P<first>\d{1,2})(?P<sep>[-/.])(?P<second>\d{1,2})(?P=sep)(?P<year>\d{4}|\d\d)", re.ASCII),
    re.compile(
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?(?: of)? {_MONTH},? (?P<year>\d{{4}})",
        re.ASCII | re.IGNORECASE,
    ),
    re.compile(rf"{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})", re.ASCII | re.IGNORECASE),
)
_NAMES = "|".join(name.capitalize() for name in _MONTHS)
OLD_DATE = re.compile(
    r"(?<!\w)(?:1[678]\d\d([-/.])\d\d\1\d\d|\d\d([-/.])\d\d\2(?:1[678]\d\d)"
    rf"|\d{{1,2}} (?:{_NAMES}) 1[678]\d\d|(?:{_NAMES}) \d{{1,2}}, 1[678]\d\d)(?!\w)",
    re.ASCII,
)
"""What `shift_date` gives."""


class Choices(Protocol):
    def below(self, bound: int) -> int: ...


def shift_date(draw: Choices, original: str) -> str | None:
    """The moved date in the format of the original, with a year of four digits; None for what is no date.

    Of 3/4/1985 the month is read first, of 23/4/1985 the day.
    """
    for position, pattern in enumerate(_FORMATS):
        found = pattern.fullmatch(original.strip())
        if found is None:
            continue
        parts = found.groupdict()
        is_day_first = "first" in parts and int(parts["first"]) > len(_MONTHS)
        born = _parsed(parts, is_day_first=is_day_first)
        if born is None:
            return None
        moved = _moved(born, draw.below(2 * _FARTHEST + 1) - _FARTHEST)
        return _written(moved, position, parts.get("sep") or "", is_day_first=is_day_first)
    return None


def _parsed(parts: dict[str, str], *, is_day_first: bool) -> date | None:
    year = int(parts["year"])
    if len(parts["year"]) == 2:  # noqa: PLR2004 - digits
        year += 1900
    if "first" in parts:
        order = (parts["first"], parts["second"])
        day, month = map(int, order if is_day_first else order[::-1])
    else:
        day = int(parts["day"])
        named = parts["month"].lower()[:3]
        month = int(named) if named.isdigit() else [name[:3] for name in _MONTHS].index(named) + 1
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _moved(born: date, offset: int) -> date | None:
    days = born.toordinal() + offset
    while days >= date(_FIRST_OF_THE_LIVING, 1, 1).toordinal():
        days -= _DAYS
    moved = date.fromordinal(days) if days > 0 else None
    return moved if moved and moved.year >= 1600 else None  # noqa: PLR2004 - as OLD_DATE has it


def _written(moved: date | None, position: int, separator: str, *, is_day_first: bool) -> str | None:
    if moved is None:
        return None
    day, month = f"{moved.day:02}", f"{moved.month:02}"
    name = _MONTHS[moved.month - 1].capitalize()
    return (
        separator.join([str(moved.year), month, day]),
        separator.join([day, month, str(moved.year)] if is_day_first else [month, day, str(moved.year)]),
        f"{moved.day} {name} {moved.year}",
        f"{name} {moved.day}, {moved.year}",
    )[position]
