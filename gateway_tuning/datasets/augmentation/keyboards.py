"""Which keys lie beside each other, by language. Pure."""

from functools import cache

_ROWS = {
    "qwerty": ("qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("qwertzuiopü", "asdfghjklöä", "yxcvbnm"),
    "azerty": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
    "йцукен": ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"),
}
_OF_LANGUAGE = {
    **dict.fromkeys(("de", "cs", "hu", "hr", "sl", "sk"), "qwertz"),
    "fr": "azerty",
    "ru": "йцукен",
}


def neighbours(letter: str, language: str | None) -> str:
    """Lower-case letters on the keys around a lower-case one; none where the layout has no such key."""
    return _map(_OF_LANGUAGE.get(language or "", "qwerty")).get(letter, "")


@cache
def _map(layout: str) -> dict[str, str]:
    """Each row stands half a key to the right of the one above it."""
    rows = _ROWS[layout]
    found = {}
    for number, row in enumerate(rows):
        for place, letter in enumerate(row):
            beside = [(number, place - 1), (number, place + 1)]
            above = [(number - 1, place), (number - 1, place + 1)]
            below = [(number + 1, place - 1), (number + 1, place)]
            found[letter] = "".join(
                rows[line][at]
                for line, at in (*beside, *above, *below)
                if 0 <= line < len(rows) and 0 <= at < len(rows[line])
            )
    return found
