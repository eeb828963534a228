"""The augmenter `noise`: the prompt as hurried people type it. Works offline. Pure.

Changed are words of letters, the signs behind them and the spaces between two of them. Placeholders, numbers, URLs,
mail addresses, code and whatever else is no plain word stay as they are, and so does the white space beside them.
"""

import re
from dataclasses import dataclass

from gateway_tuning.datasets.augmentation.draws import Draws
from gateway_tuning.datasets.augmentation.edits import WORD_EDITS
from gateway_tuning.datasets.augmentation.protected import ADDRESS, CODE, PLACEHOLDER
from gateway_tuning.datasets.augmentation.protocol import LanguageOf, Lost, Variant
from gateway_tuning.datasets.example import Example

_TOKEN = re.compile(r"\S+")
_LETTER = r"[^\W\d_][\u0300-\u036f\u200c\u200d]*"
_WORD = re.compile(
    rf"([\"'(\u00ab\u201e\u201c\u2018\u00bf\u00a1]*)((?:{_LETTER})+(?:['\u2019-](?:{_LETTER})+)*)([.,;:!?\uff1f\uff01\u3002\uff0c\"')\u00bb\u201c\u201d\u2019]*)"
)
_SIGNS = ".,;!?\uff1f\uff01\u3002\uff0c"
_ATTEMPTS = 6  # for each variant: short texts give few different ones
_LOWER_ALL = 8  # one variant in so many loses all its capitals instead


@dataclass(frozen=True, slots=True)
class _Piece:
    """A plain word with the signs around it, and what stands between it and the next one."""

    start: int
    before: str
    word: str
    behind: str
    end: int
    before_word: bool  # one plain space and another plain word follow


class NoiseAugmenter:
    """`rate` is the most edits a word of the prompt: at least one edit, at most `rate` times the words it may change."""

    name = "noise"
    invents = False

    def __init__(self, rate: float, language_of: LanguageOf) -> None:
        self._rate = rate
        self._language_of = language_of

    async def variants(self, example: Example, count: int, seed: int) -> list[Variant | Lost]:
        prompt = example.prompt
        pieces = _pieces(prompt)
        if not pieces:
            return []
        language = self._language_of(prompt)
        found: dict[str, Variant] = {}
        for attempt in range(count * _ATTEMPTS):
            if len(found) == count:
                break
            made = _noisy(prompt, pieces, Draws(seed, example.id, self.name, attempt), language, self._rate)
            if made.text != prompt and made.text.strip():
                found.setdefault(made.text, made)
        return list(found.values())

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class _Change:
    how: str
    text: str
    end: int  # in the prompt, of what `text` stands for


def _noisy(prompt: str, pieces: list[_Piece], draws: Draws, language: str | None, rate: float) -> Variant:
    if not draws.below(_LOWER_ALL):
        changes = {piece.start: _edited(piece, "no capitals", piece.word.lower()) for piece in pieces}
    else:
        most = max(1, int(rate * len(pieces)))
        chosen = draws.sample(pieces, 1 + draws.below(most))
        changes = {piece.start: _slip(piece, draws, language) for piece in chosen}
    out, last, done = [], 0, set()
    for piece in pieces:
        change = changes.get(piece.start)
        if change is None:
            continue
        out += [prompt[last : piece.start], change.text]
        last = change.end
        if change.text != prompt[piece.start : change.end]:
            done.add(change.how)
    return Variant("".join([*out, prompt[last:]]), ", ".join(sorted(done)))


def _slip(piece: _Piece, draws: Draws, language: str | None) -> _Change:
    kinds = [kind for kind in WORD_EDITS if kind != "missing accents" or not piece.word.isascii()]
    if piece.behind and piece.behind[-1] in _SIGNS:
        kinds += ["missing sign", "doubled sign"]
    if piece.before_word:
        kinds += ["missing space", "doubled space"]
    kind = draws.choice(kinds)
    whole = piece.before + piece.word + piece.behind
    match kind:
        case "missing sign":
            return _Change(kind, whole[:-1], piece.end)
        case "doubled sign":
            return _Change(kind, whole + whole[-1], piece.end)
        case "doubled space":
            return _Change(kind, whole + " ", piece.end)
        case "missing space":
            return _Change(kind, whole, piece.end + 1)
        case _:
            return _edited(piece, kind, WORD_EDITS[kind](piece.word, draws, language))


def _edited(piece: _Piece, how: str, word: str) -> _Change:
    return _Change(how, piece.before + word + piece.behind, piece.end)


def _pieces(prompt: str) -> list[_Piece]:
    kept = [found.span() for pattern in (PLACEHOLDER, CODE, ADDRESS) for found in pattern.finditer(prompt)]
    words = {}
    for token in _TOKEN.finditer(prompt):
        start, end = token.span()
        word = _WORD.fullmatch(token.group())
        if word is not None and not any(begin < end and start < stop for begin, stop in kept):
            words[start] = word
    return [
        _Piece(
            start=start,
            before=word[1],
            word=word[2],
            behind=word[3],
            end=start + len(word[0]),
            before_word=prompt[start + len(word[0]) : start + len(word[0]) + 1] == " "
            and start + len(word[0]) + 1 in words,
        )
        for start, word in words.items()
        if not _is_code(word[2])
    ]


def _is_code(word: str) -> bool:
    """camelCase, as in getUserName."""
    return word[1:] != word[1:].lower() and word != word.upper()
