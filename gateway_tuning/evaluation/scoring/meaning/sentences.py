"""Sentences of a text in most languages, by signs and without a model. Pure.

Rather too long than too short: where it is doubtful whether a dot ends a sentence, it does not.
"""

import re

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BREAK = re.compile(
    r"\n[ \t]*\n"  # a paragraph
    r"|\n(?=[ \t]*(?:[-*+•·\u2013]|#{1,6}|\d{1,3}[.)]|>|\|)[ \t])"  # an item, a heading, a quotation, a row of a table
    r"|(?<=[:;])[ \t]*\n"
)
_MARKER = re.compile(r"\A\s*(?:(?:[-*+•·\u2013]|#{1,6}|\d{1,3}[.)]|>|\|)\s+)*")
_CLOSING = "[\"'\u2019\u201d\u00bb)\\]\u300d\u300f\uff09*_]*"
_END = re.compile(
    rf"(?P<spaced>(?<![.!?\u2026])[.!?\u2026]++{_CLOSING}(?=\s)"
    rf"|[\u061f\u06d4\u0964\u0965\u0589\u1362\u17d4\u104b]+{_CLOSING})"  # Arabic, Urdu, Indic, Armenian, Ethiopic, Khmer, Burmese
    r"|(?<![\u3002\uff01\uff1f\uff61])[\u3002\uff01\uff1f\uff61]++(?![\u2019\u201d\u300d\u300f\uff09])"  # Chinese and Japanese; speech goes on behind a quote
)
_LAST_WORD = re.compile(r"(?<!\S)[(\"'\u201c\u00ab\u201e]*((?:\w+\.)*\w+)\Z")
_ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof st jr sr vs etc e.g i.e cf approx dept fig no nos vol inc ltd co corp al p pp ed est
    hr fr z.b d.h u.a bzw usw ca nr abs art evtl ggf inkl exkl max min mind str tel vgl bspw sog i.d.r o.ä u.u zzgl
    m mm mme mlle p.ex ex av apr env c.-à-d boul réf
    sra srta ud uds p.ej pág núm aprox avda dña
    dott ing sig ecc dhr mevr bijv o.a d.w.z
    """.split()  # noqa: SIM905 - readable as words
)


def split_sentences(text: str) -> list[str]:
    """In order, without code blocks, list markers and what has no letter or digit. Thai stays in one piece."""
    return [
        sentence
        for block in _BREAK.split(_CODE.sub("\n\n", text))
        for sentence in _of_block(" ".join(_MARKER.sub("", block, count=1).split()))
        if any(sign.isalnum() for sign in sentence)
    ]


def _of_block(block: str) -> list[str]:
    found: list[str] = []
    start = 0
    for end in _END.finditer(block):
        if end["spaced"] and end["spaced"].startswith(".") and _goes_on(block, start, end):
            continue
        found.append(block[start : end.end()].strip())
        start = end.end()
    return [*found, block[start:].strip()]


def _goes_on(block: str, start: int, end: re.Match[str]) -> bool:
    """Whether the dot belongs to an abbreviation, an initial or an ordinal, or a small letter follows it."""
    behind = block[end.end() : end.end() + 3].lstrip("\"'\u201c\u00ab\u201e( ")
    if behind[:1].islower():
        return True
    if len(end["spaced"]) > 1:
        return False
    word = _LAST_WORD.search(block, max(start, end.start() - 20), end.start())
    if word is None:
        return False
    last = word[1]
    is_initial = len(last) == 1 and last.isupper() and last != "I"
    is_ordinal = last.isdecimal() and len(last) <= 2  # noqa: PLR2004 - a day or a century: "am 3. Mai"
    return is_initial or is_ordinal or last.casefold() in _ABBREVIATIONS
