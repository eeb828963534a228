"""Dates in several spellings, and which of them may be the same day. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway_tuning.evaluation.scoring.factuality.words import key_of

_MONTHS = {  # short forms that are English words (set, out, ago) are left out
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier janv enero ene gennaio januari janeiro janner",
            "february feb februar fevrier fevr febrero febbraio februari fevereiro fev",
            "march mar marz mars marzo maart marco mrz",
            "april apr avril avr abril abr aprile",
            "may mai mayo maggio mei maio",
            "june jun juni juin junio giugno giu junho",
            "july jul juli juillet juil julio luglio lug julho",
            "august aug aout agosto augustus",
            "september sep sept septembre septiembre settembre setembro",
            "october oct oktober okt octobre octubre ottobre ott outubro",
            "november nov novembre noviembre novembro",
            "december dec dezember dez decembre diciembre dic dicembre dezembro",
        ),
        start=1,
    )
    for name in names.split()
}
MONTH_KEYS = frozenset(key_of(name) for name in _MONTHS)
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DAY = r"(?P<{0}>3[01]|[12][0-9]|0?[1-9])"
_ORDINAL = r"(?:st|nd|rd|th|er|\.|º|o)?"
_YEAR = r"(?:19|20|21)[0-9]{2}"
_WRITTEN = re.compile(
    rf"\b{_DAY.format('day')}{_ORDINAL}(?: of| de| di)? (?P<month>{_MONTH})\b\.?(?:,? (?:de |del )?(?P<year>{_YEAR})\b)?"
    rf"|\b(?P<month2>{_MONTH})\b\.? {_DAY.format('day2')}(?:st|nd|rd|th)?\b(?!:)(?:,? (?P<year2>{_YEAR})\b)?"
    rf"|\b(?P<month3>{_MONTH})\b\.?,?(?: of| de)? (?P<year3>{_YEAR})\b"
)
_ISO = re.compile(rf"\b(?P<year>{_YEAR})[-/.](?P<month>1[0-2]|0?[1-9])[-/.]{_DAY.format('day')}\b")
_NUMERIC = re.compile(
    r"\b(?P<first>[0-3]?[0-9])(?P<sign>[/.-])(?P<second>[0-3]?[0-9])(?P=sign)(?P<year>(?:19|20|21)?[0-9]{2})\b"
)
_LAST_MONTH, _LAST_DAY = 12, 31
_SHORT_YEAR = 100


@dataclass(frozen=True, slots=True)
class Day:
    """None: not said."""

    year: int | None
    month: int
    day: int | None

    def generalized(self) -> Iterator["Day"]:
        """All that follows from it, itself too."""
        for year in {self.year, None}:
            for day in {self.day, None}:
                yield Day(year, self.month, day)


def find_dates(folded: str) -> Iterator[tuple[int, int, frozenset[Day]]]:
    """Start, end and all readings: 05/03/2020 is in March or in May; with dots the day is first.

    Expects folded text (`words.fold`). A month alone is a word and no date. Matches do not overlap.
    """
    taken: list[tuple[int, int]] = []
    for start, end, readings in sorted(_all(folded), key=lambda found: (found[0], -found[1])):
        if readings and not any(start < until and since < end for since, until in taken[-1:]):
            taken.append((start, end))
            yield start, end, readings


def _all(folded: str) -> Iterator[tuple[int, int, frozenset[Day]]]:
    for found in _ISO.finditer(folded):
        yield (*found.span(), frozenset({_day(found["year"], int(found["month"]), found["day"])}))
    for found in _WRITTEN.finditer(folded):
        month = found["month"] or found["month2"] or found["month3"]
        year = found["year"] or found["year2"] or found["year3"]
        yield (*found.span(), frozenset({_day(year, _MONTHS[month], found["day"] or found["day2"])}))
    for found in _NUMERIC.finditer(folded):
        first, second = int(found["first"]), int(found["second"])
        orders = [(first, second)] if found["sign"] == "." else [(first, second), (second, first)]
        readings = frozenset(
            _day(found["year"], month, str(day))
            for day, month in orders
            if 1 <= month <= _LAST_MONTH and 1 <= day <= _LAST_DAY
        )
        yield (*found.span(), readings)


def _day(year: str | None, month: int, day: str | None) -> Day:
    number = int(year) if year else None
    if number is not None and number < _SHORT_YEAR:
        number += 2000
    return Day(number, month, int(day) if day else None)
