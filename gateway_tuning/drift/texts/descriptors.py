"""Cheap figures of a text that a change of users or of applications shows in. Pure."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_READ = 2_000  # characters of a text
_CODE = re.compile(
    r"```|\b(?:def|class|function|import|return|SELECT|FROM)\b|[{};]\s*$|</?\w+>|=>", re.MULTILINE
)
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
# First and last letter of scripts that are told apart; the rest counts as none of them.
SCRIPTS = {
    "Latin": ((0x41, 0x24F), (0x1E00, 0x1EFF)),
    "Greek": ((0x370, 0x3FF),),
    "Cyrillic": ((0x400, 0x52F),),
    "Hebrew": ((0x590, 0x5FF),),
    "Arabic": ((0x600, 0x77F),),
    "Devanagari": ((0x900, 0x97F),),
    "Thai": ((0xE00, 0xE7F),),
    "Kana": ((0x3040, 0x30FF),),
    "Han": ((0x3400, 0x4DBF), (0x4E00, 0x9FFF)),
    "Hangul": ((0x1100, 0x11FF), (0xAC00, 0xD7AF)),
}
_LEAST = 0.5  # of the letters: below it no script is the text's


def describe(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Texts x figures: length (log), shares of punctuation, digits, capitals, line breaks and each script, code, links."""
    return np.array([_figures(text) for text in [*texts, ""]], dtype=np.float64)[:-1]


def script_of(text: str) -> str | None:
    """The script of most letters; None where there are no letters or no script has most of them."""
    letters = [ord(character) for character in text[:_READ] if character.isalpha()]
    if not letters:
        return None
    shares = _script_shares(letters)
    name, share = max(zip(SCRIPTS, shares, strict=True), key=lambda pair: pair[1])
    return name if share > _LEAST else None


def _figures(text: str) -> list[float]:
    read = text[:_READ]
    size = max(1, len(read))
    letters = sum(map(str.isalpha, read))
    marks = len(read) - sum(map(str.isalnum, read)) - sum(map(str.isspace, read))
    return [
        float(np.log1p(len(text))),
        marks / size,
        sum(map(str.isdigit, read)) / size,
        sum(map(str.isupper, read)) / max(1, letters),
        read.count("\n") / size,
        *_scripts(read, letters),
        float(_CODE.search(read) is not None),
        float(_LINK.search(read) is not None),
    ]


def _scripts(read: str, letters: int) -> list[float]:
    if read.isascii():
        return [float(letters > 0), *[0.0] * (len(SCRIPTS) - 1)]
    return _script_shares([ord(character) for character in read if character.isalpha()])


def _script_shares(letters: Sequence[int]) -> list[float]:
    return [
        sum(any(low <= letter <= high for low, high in ranges) for letter in letters) / max(1, len(letters))
        for ranges in SCRIPTS.values()
    ]
