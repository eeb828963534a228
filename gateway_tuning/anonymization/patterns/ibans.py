"""Bank account numbers by the IBAN registry: a country, its length, and the check digits. Pure."""

import re
from collections.abc import Iterator

from gateway_tuning.anonymization.entities import Span
from gateway_tuning.anonymization.patterns.check_digits import IBAN_LENGTHS, is_an_iban
from gateway_tuning.anonymization.patterns.pattern import Text

_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9]{2})")
_FEWEST_DIGITS = 4  # in a row: every country's form has more
_WITH_SEPARATORS = {
    length: re.compile(rf"(?:[A-Za-z0-9][ -]?){{{length - 1}}}[A-Za-z0-9](?![A-Za-z0-9])")
    for length in set(IBAN_LENGTHS.values())
}


def find_ibans(text: Text) -> Iterator[Span]:
    """Words may follow without a mark between, so the country's length says where the number ends."""
    if text.digits < _FEWEST_DIGITS:
        return
    for start, end in text.near_digits:
        for begun in _START.finditer(text.text, start, end):
            length = IBAN_LENGTHS.get(begun[0][:2].upper())
            found = _WITH_SEPARATORS[length].match(text.text, begun.start()) if length else None
            if found and is_an_iban(found[0]):
                yield Span(found.start(), found.end(), "IBAN_CODE", 0.95)
