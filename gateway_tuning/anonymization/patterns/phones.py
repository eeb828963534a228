"""Telephone numbers of any country. Pure, but for the tables of `phonenumbers`.

Presidio runs the library's whole matcher once a region over the whole text. Here one expression finds the
candidates; what is written internationally is parsed once, and a national number is tried in the regions until
one has it, unless words before it say that it is a telephone number.
"""

import re
from collections.abc import Iterator, Sequence

from gateway_tuning.anonymization.entities import Span
from gateway_tuning.anonymization.patterns.pattern import Text

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "AU", "IN", "BR", "IL", "CH", "SE", "PL", "ZA")
_MIN_DIGITS, _MAX_DIGITS = 7, 15  # ITU-T E.164 ends at fifteen
_CANDIDATE = re.compile(
    r"(?<![\w.,/:#$€£=@+-])(?:\+|\(\+?)?[0-9](?:[ ().\-/\u2010-\u2013\u00a0]{0,3}[0-9]){6,17}(?:[ ]?(?:x|ext\.?|extension)[ ]?[0-9]{1,6})?(?!\w|[.,:/-][0-9])"
)
_WORDS = re.compile(
    r"(?i)(?:phone|tel(?:efon|éfono|efono|éphone|\b)|mobile?|cell|call(?:ed|ing)?\b|ring me|fax|desk|whatsapp|sms|text me|reach|"
    r"dial|contact|hotline|handy|rufnummer|portable|móvil|cellulare|mobiel|answering|receiving messages|office|"
    r"registered|home:|work:|number is)[^0-9\n]{0,24}(?:\n\s{0,4})?$"
)
_WORD_AFTER = re.compile(r"(?i)[ -]{1,3}\\?,?(?:office|fax|mobile|home|cell|desk|work)\b")
_DATE = re.compile(
    r"\(?(?:(?:19|20)[0-9]{2}[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:[0-2]?[0-9]|3[01])(?:[ ].*)?|(?:[0-2]?[0-9]|3[01])[-./ ](?:[0-2]?[0-9]|3[01])[-./ ](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[ ]?[-/\u2013][ ]?(?:19|20)[0-9]{2})\b"
)
_GROUPED = re.compile(  # with separators as telephone numbers have them, and not as sums have them
    r"\(?0[0-9]{1,5}\)?[ ./-]{1,2}[0-9].*|\([0-9]{2,4}\)[ ]?[0-9].*|[2-9][0-9]{2}[-. ][2-9][0-9]{2}[-. ][0-9]{4}(?!\d).*|1[-. ][2-9].*|0[1-9][0-9]{8,9}",
    re.DOTALL,
)


def find_phones(text: Text, *, regions: Sequence[str] = REGIONS) -> Iterator[Span]:
    """Scores: 0.75 with words like "call" beside it, 0.7 written internationally, else 0.4."""
    if text.digits < _MIN_DIGITS:
        return
    for found in _CANDIDATE.finditer(text.text):
        value, start = found[0], found.start()
        if value.startswith("(") and ")" not in value:
            value, start = value[1:], start + 1
        number = re.split("[xe]", value, maxsplit=1)[0]
        digits = sum(character.isdigit() for character in number)
        if not _MIN_DIGITS <= digits <= _MAX_DIGITS or _DATE.match(value):
            continue
        score = _score(text.text, start, found.end(), number, regions)
        if score:
            yield Span(start, found.end(), "PHONE_NUMBER", score)


def _score(text: str, start: int, end: int, number: str, regions: Sequence[str]) -> float:
    # A card has words of its own before it.
    if _WORDS.search(text[max(0, start - 48) : start]) or _WORD_AFTER.match(text, end):
        return 0.75
    international = number.lstrip("(").startswith(("+", "00"))
    if international and _is_valid(re.sub(r"\(0\)", "", number), None):
        return 0.7
    if not international and _GROUPED.fullmatch(number) and any(_is_valid(number, one) for one in regions):
        return 0.4
    return 0.0


def _is_valid(number: str, region: str | None) -> bool:
    import phonenumbers

    if region is None and number.lstrip("(").startswith("00"):
        number = "+" + number.lstrip("(")[2:]
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    # A country's new or fictitious ranges are possible and not valid: with a plus sign that is enough.
    return bool(
        phonenumbers.is_possible_number(parsed) if region is None else phonenumbers.is_valid_number(parsed)
    )
