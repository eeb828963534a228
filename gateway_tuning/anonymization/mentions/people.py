"""Finds what else in a record stands for a person found in it: parts of the name, initials, other case. Pure.

"Anna Maria Schmidt" is also "Schmidt", "anna", "A. Schmidt" and "SCHMIDT-anna". What could be two persons of
the record stands for neither: it is a mention of its own.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from gateway_tuning.anonymization.mentions.common_words import COMMON, NOT_NAMES, PARTICLES, TITLES

_JOINT = re.compile(r"\s{1,3}|[-_.]")
_JOINT_OF_INITIAL = re.compile(r"\.?\s{0,2}-?|['\u2019]")
_SHORT = 2  # letters: "al", "li" are words and endings of many languages


@dataclass(frozen=True, slots=True)
class Mention:
    start: int
    end: int
    identity: str


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What to look for, by folded word.

    `whole`: values of one word, with their identity. `parts`: the persons (folded words by identity) that have
    the word in their name. `written`: how the values of one word were written.
    """

    whole: Mapping[str, str]
    parts: Mapping[str, frozenset[str]]
    names: Mapping[str, tuple[str, ...]]
    written: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    end: int
    text: str
    folded: str


def fold(word: str) -> str:
    """Case, accents and compatibility forms apart."""
    apart = unicodedata.normalize("NFKD", word).casefold()
    return "".join(character for character in apart if not unicodedata.combining(character))


def name_words(name: str) -> tuple[str, ...]:
    """The folded words of a person's name, without titles and what is no name."""
    words = (fold(found.group()) for found in _word().finditer(name))
    return tuple(word for word in words if word not in TITLES and word not in NOT_NAMES)


def fuller_names(names: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, str], frozenset[str]]:
    """What is the short form of what, among persons by identity, with the words of their names.

    Returns each identity whose words all stand in exactly one fullest name, with the identity of that; and the
    fullest names: the identities whose words stand in no other.
    """
    order = {identity: position for position, identity in enumerate(names)}

    def is_within(one: str, other: str) -> bool:
        if one == other or not names[one] or not _holds(names[other], names[one]):
            return False
        return not _holds(names[one], names[other]) or order[other] < order[one]

    within = {one: [other for other in names if is_within(one, other)] for one in names}
    fullest = frozenset(one for one, others in within.items() if not others)
    merged = {}
    for one, others in within.items():
        owners = [other for other in others if other in fullest]
        if len(owners) == 1:
            merged[one] = owners[0]
    return merged, fullest


def make_lexicon(values: Mapping[str, str], names: Mapping[str, tuple[str, ...]]) -> Lexicon:
    """From identities by value, for values of one word, and the words of names by identity, for the fullest names."""
    parts: dict[str, set[str]] = {}
    for identity, words in names.items():
        for word in words:
            parts.setdefault(word, set()).add(identity)
    whole: dict[str, str] = {}
    for value, identity in values.items():
        whole.setdefault(fold(value), identity)
    return Lexicon(
        whole,
        {word: frozenset(owners) for word, owners in parts.items()},
        names,
        frozenset(unicodedata.normalize("NFC", value) for value in values),
    )


def find_mentions(text: str, lexicon: Lexicon) -> Iterator[Mention]:
    """Mentions from left to right; they do not overlap. The ends of `text` count as ends of words."""
    words = [
        _Word(found.start(), found.end(), found.group(), fold(found.group()))
        for found in _word().finditer(text)
    ]
    position = free = 0
    while position < len(words):
        if not _is_hit(text, words[position], lexicon):
            position += 1
            continue
        first, last, owners = _grow(text, words, position, free, lexicon)
        run = words[first : last + 1]
        yield Mention(run[0].start, run[-1].end, _owner(run, owners, lexicon))
        position = free = last + 1


def _grow(
    text: str, words: Sequence[_Word], position: int, free: int, lexicon: Lexicon
) -> tuple[int, int, frozenset[str]]:
    """First and last word of the mention around a hit, and whose it may be."""
    first = last = position
    owners = lexicon.parts.get(words[position].folded, frozenset())
    while first > free and _is_joint(text, words[first - 1], words[first]):
        narrower = _owners_with(text, words[first - 1], owners, lexicon)
        if not narrower:
            break
        first, owners = first - 1, narrower
    ahead, seen = owners, {word.folded for word in words[first : last + 1]}
    for following in range(position + 1, len(words)):
        word = words[following]
        if word.folded in seen or not _is_joint(text, words[following - 1], word):
            break
        ahead = _owners_with(text, word, ahead, lexicon)
        if not ahead:
            break
        seen.add(word.folded)
        if _is_hit(text, word, lexicon):
            last, owners = following, ahead
    return first, last, owners


def _owner(run: Sequence[_Word], owners: frozenset[str], lexicon: Lexicon) -> str:
    if len(run) == 1 and run[0].folded in lexicon.whole:
        return lexicon.whole[run[0].folded]
    if len(owners) == 1:
        return next(iter(owners))
    return " ".join(word.folded for word in run)


def _is_hit(text: str, word: _Word, lexicon: Lexicon) -> bool:
    is_whole = word.folded in lexicon.whole
    if not is_whole and (word.folded not in lexicon.parts or word.folded in PARTICLES):
        return False
    if len(word.folded) == 1:
        return False  # may be a word of its own anywhere
    around = text[word.start - 1 : word.start] + text[word.end : word.end + 1]
    if any(character.isalnum() for character in around):
        return False
    if len(word.folded) > _SHORT and word.folded not in COMMON:
        return True
    is_capitalised = word.text[0].isupper() and not any(character.isupper() for character in word.text[1:])
    is_written_so = is_capitalised or unicodedata.normalize("NFC", word.text) in lexicon.written
    return is_written_so and "_" not in around


def _owners_with(text: str, word: _Word, owners: Iterable[str], lexicon: Lexicon) -> frozenset[str]:
    """Those of `owners` in whose name the word may stand, in full or as an initial."""
    if len(word.folded) > 1:
        return frozenset(owners) & lexicon.parts.get(word.folded, frozenset())
    if not word.text.isupper() or text[word.end : word.end + 1] not in (".", "'", "\u2019"):
        return frozenset()
    return frozenset(one for one in owners if any(part[0] == word.folded for part in lexicon.names[one]))


def _is_joint(text: str, left: _Word, right: _Word) -> bool:
    between = text[left.end : right.start]
    pattern = _JOINT_OF_INITIAL if len(left.folded) == 1 else _JOINT
    return pattern.fullmatch(between) is not None


def _holds(full: Sequence[str], short: Sequence[str]) -> bool:
    """Whether each word of `short` is another word of `full`, or the initial of one."""
    left = list(full)
    for word in sorted(short, key=len, reverse=True):
        fitting = [one for one in left if one == word or (len(word) == 1 and one.startswith(word))]
        if not fitting:
            return False
        left.remove(fitting[0])
    return True


@cache
def _word() -> re.Pattern[str]:
    r"""Letters with their marks. `\w` has no marks, and would cut words of Indic scripts and of NFD texts."""
    marks = [
        re.escape(chr(code))
        for code in range(min(sys.maxunicode, 0xFFFF))
        if unicodedata.category(chr(code))[0] == "M"
    ]
    return re.compile(rf"[^\W\d_](?:[^\W\d_]|[{''.join(marks)}])*")
