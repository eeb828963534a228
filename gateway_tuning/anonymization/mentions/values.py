"""Equal values: what counts as one spelling of another, and where a value comes again in a text. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

_CODES = frozenset(
    {
        *("PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "US_ITIN", "US_PASSPORT"),
        *("NATIONAL_ID", "BANK_ACCOUNT", "LICENSE_PLATE"),
    }
)
_PHONE_DIGITS = 9  # the last ones tell numbers apart; before them stand country and trunk codes
_POSSESSIVE = re.compile(r"['\u2019]s$", re.IGNORECASE)
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def fold_value(value: str) -> str:
    """Equal for two spellings of a value: case, white space, compatibility forms, a possessive s."""
    folded = " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    return _POSSESSIVE.sub("", folded)


def without_possessive(value: str) -> str:
    return _POSSESSIVE.sub("", value)


def identity_of(value: str, entity: str) -> str:
    """Equal for two spellings of one value: case, white space, separators in numbers, a possessive s."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    if entity in _CODES:
        code = "".join(character for character in folded if character.isalnum())
        return code[-_PHONE_DIGITS:] if entity == "PHONE_NUMBER" else code
    return fold_value(value)


def find_repetitions(
    text: str, values: Mapping[str, str], gaps: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int, str]]:
    """Whole-word occurrences of `values` (value -> identity) within the gaps, as (start, end, identity).

    Each gap counts as a text of its own: a placeholder beside it is a boundary, before and after it is written.
    """
    longest_first = sorted(values, key=lambda value: (-len(value), value))
    if not longest_first:
        return
    pattern = re.compile("|".join(f"({_pattern_of(value)})" for value in longest_first), re.IGNORECASE)
    for start, end in gaps:
        for found in pattern.finditer(text[start:end]):
            identity = values[longest_first[(found.lastindex or 0) - 1]]
            yield start + found.start(), start + found.end(), identity


def is_one_word(value: str) -> bool:
    """Letters of a script that puts spaces between words."""
    return value.isalpha() and not _UNSPACED.fullmatch(value)


def _pattern_of(value: str) -> str:
    """Any case, white space, apostrophe and composition of accents."""
    spellings = {value, unicodedata.normalize("NFC", value), unicodedata.normalize("NFD", value)}
    patterns = sorted(r"\s+".join(map(re.escape, spelling.split())) for spelling in spellings)
    pattern = re.sub(r"['\u2019]", "['\u2019]", "|".join(patterns))
    if _UNSPACED.fullmatch(value):
        return f"(?:{pattern})"  # scripts that put no space between words
    return rf"(?<!\w)(?:{pattern})(?!\w)"
