"""Slips of the keyboard, one word at a time. Pure.

Letters are changed in scripts with capitals alone (Latin, Greek, Cyrillic): elsewhere a letter less is often another
word. A letter and the marks on it are one. Words of fewer than four letters keep theirs, and every word its first.
"""

import re
import unicodedata
from collections.abc import Callable

from gateway_tuning.datasets.augmentation.draws import Draws
from gateway_tuning.datasets.augmentation.keyboards import neighbours

Edit = Callable[
    [str, Draws, str | None], str
]  # word, draws, language; gives the word itself where it cannot be done

_LEAST_LETTERS = 4
_LETTERS = re.compile(r"[^\W\d_][\u0300-\u036f\u200c\u200d]*")
_UNMARKED = {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "œ": "oe"}
_GERMAN = {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}


def neighbour_key(word: str, draws: Draws, language: str | None) -> str:
    letters = _LETTERS.findall(word)
    places = [at for at in _inner(letters) if neighbours(letters[at].lower(), language)]
    if not places:
        return word
    at = draws.choice(places)
    struck = draws.choice(neighbours(letters[at].lower(), language))
    return _with(word, at, struck.upper() if letters[at].isupper() else struck)


def dropped_letter(word: str, draws: Draws, _language: str | None) -> str:
    places = _inner(_LETTERS.findall(word))
    return _with(word, draws.choice(places), "") if places else word


def doubled_letter(word: str, draws: Draws, _language: str | None) -> str:
    letters = _LETTERS.findall(word)
    places = _inner(letters)
    if not places:
        return word
    at = draws.choice(places)
    return _with(word, at, letters[at] * 2)


def swapped_letters(word: str, draws: Draws, _language: str | None) -> str:
    spans = [found.span() for found in _LETTERS.finditer(word)]
    letters = [word[start:end] for start, end in spans]
    places = [
        at
        for at in _inner(letters)
        if at + 1 < len(letters) and spans[at][1] == spans[at + 1][0] and letters[at] != letters[at + 1]
    ]
    if not places:
        return word
    at = draws.choice(places)
    start, end = spans[at][0], spans[at + 1][1]
    return word[:start] + letters[at + 1] + letters[at] + word[end:]


def changed_case(word: str, _draws: Draws, _language: str | None) -> str:
    """Capitals go; a word without any is shouted."""
    lower, upper = word.lower(), word.upper()
    changed = lower if lower != word else upper
    return changed if len(changed) == len(word) else word


def missing_accents(word: str, draws: Draws, language: str | None) -> str:
    """Of the whole word. Who writes German has a second spelling for umlauts."""
    if language == "de" and draws.below(2):
        spelled = "".join(_GERMAN.get(letter, letter) for letter in unicodedata.normalize("NFC", word))
        if spelled != unicodedata.normalize("NFC", word):
            return spelled
    bare = "".join(
        _UNMARKED.get(character, character)
        for character in unicodedata.normalize("NFD", word)
        if not "\u0300" <= character <= "\u036f"
    )
    recomposed = unicodedata.normalize("NFC", bare)
    return word if recomposed == unicodedata.normalize("NFC", word) else recomposed


WORD_EDITS: dict[str, Edit] = {
    "neighbour key": neighbour_key,
    "dropped letter": dropped_letter,
    "doubled letter": doubled_letter,
    "swapped letters": swapped_letters,
    "changed case": changed_case,
    "missing accents": missing_accents,
}


def _inner(letters: list[str]) -> list[int]:
    """Places of letters that may be changed."""
    if len(letters) < _LEAST_LETTERS:
        return []
    return [at for at, letter in enumerate(letters) if at and letter[0].lower() != letter[0].upper()]


def _with(word: str, at: int, text: str) -> str:
    start, end = [found.span() for found in _LETTERS.finditer(word)][at]
    return word[:start] + text + word[end:]
