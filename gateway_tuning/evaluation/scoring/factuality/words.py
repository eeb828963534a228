"""Words that carry content, as keys under which two spellings of one word meet. Pure.

Without a model of a language: compatibility forms and accents are folded, English possessives and a final s fall
away, and what is longer is cut to its first letters (cutting to five or six does as well as a stemmer in many
languages: McNamee and Mayfield 2004, doi:10.1023/B:INRT.0000009441.78971.be). Scripts without spaces between words
are read as pairs of characters.
"""

import re
import unicodedata
from collections.abc import Iterator

_STEM = 8
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_UNSPACED_WORD = re.compile(rf"[{_UNSPACED}]")
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:['\u2019\u00b7-][^\W_{_UNSPACED}]+)*")
_SHORTEST = 2  # single letters are what apostrophes leave
_FEW = 3  # letters: an s at the end of less belongs to the word

FUNCTION_WORDS = frozenset(
    """
    a an the and or but if of at by for with about against between into through during before after above below to
    from up down in out on off over under again further then once here there when where why how all any both each
    few more most other some such only own same so than too very can will just don should now i me my we our you your
    he him his she her it its they them their what which who whom this that these those am is are was were be been
    being have has had having do does did doing would could may might must shall also as because until while one ones
    please yes ok okay us let get got per via etc e g ie eg however therefore thus
    der die das den dem des ein eine einen einem einer eines und oder aber wenn von bei mit zu zur zum aus auf in im an
    am fur uber unter nach vor ist sind war waren sein wird werden hat haben hatte kann konnen ich du er sie es wir ihr
    mich dich sich uns euch mein dein unser als auch noch nur so wie was wer wo dass da doch sehr man bitte durch um
    le la les l un une des du de d et ou mais si que qui quoi dans sur sous avec pour par ce cet cette ces il elle ils
    elles je j tu nous vous on se s est sont etait etre ete a ont avoir son sa ses leur leurs mon ma mes votre vos notre
    ne nos plus tres aussi comme au aux en y
    el los las una unos unas y o pero con por para del al es son era ser estar esta estan fue ha han haber que quien
    como su sus mi mis tu tus nos les lo muy mas tambien se este esto estos estas
    il lo gli i uno ed che chi di da nel nella dei delle dal alla sono e era essere ho anche piu con per come suo sua
    het een en of maar als van bij naar uit op te tot is zijn waren wordt worden heeft hebben kan ik jij hij zij wij
    jullie ze we u dit dat deze die ook nog er om
    os as um uma ou mas no na nos nas pelo pela com sao foi tem ter seu sua seus suas voce eu ele ela eles elas muito
    mais tambem
    """.split()  # noqa: SIM905 - readable as words
)
"""Folded. They hold sentences together, whatever these say, so they are no evidence."""

NEGATIONS = frozenset(
    """
    not no never none nobody nothing neither nor without cannot unable hardly
    nicht kein keine keinen keinem keiner keines nie niemals niemand nichts ohne
    pas sans sin non senza niet geen nooit niemand niets zonder nao sem
    """.split()  # noqa: SIM905 - readable as words
)
CONCORDANT = frozenset(
    """
    jamais aucun aucune rien nunca jamas ningun ninguna ninguno nada nadie tampoco mai nessun nessuna nessuno niente
    nenhum nenhuma ninguem
    """.split()  # noqa: SIM905 - readable as words
)
"""Negations that stand beside another one and mean the same: "no dijo nada"."""
_NEGATED_AUXILIARY = re.compile(
    r"(?:can|won|don|doesn|didn|isn|aren|wasn|weren|shouldn|wouldn|couldn|hasn|haven|hadn|mustn|needn|ain)"
    r"['\u2019]t\Z"
)
_OPENING_NO = re.compile(r"\A\W*(?:no|nein|non|nee|nao|não)\s*[,.:;!\u2013\u2014]", re.IGNORECASE)
_NO_CONTENT = FUNCTION_WORDS | NEGATIONS | CONCORDANT


def fold(text: str) -> str:
    """Lower case, compatibility forms, no accents."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def words(text: str) -> Iterator[str]:
    """Folded, with function words."""
    for found in _WORD.finditer(fold(text)):
        yield found[0]


def content_keys(text: str) -> list[str]:
    """Keys of the words that carry content, in order. Numbers are figures and no words; negations count apart."""
    keys: list[str] = []
    for word in words(text):
        if _UNSPACED_WORD.match(word):
            keys += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
            continue
        parts = re.split(r"['\u2019\u00b7-]", word)
        if len(parts) > 1 and _NEGATED_AUXILIARY.match(word):
            continue
        for part in parts:
            if len(part) < _SHORTEST or part in _NO_CONTENT or part[0].isdigit():
                continue
            keys.append(key_of(part))
    return keys


def key_of(word: str) -> str:
    """Of one folded word."""
    if len(word) > _FEW and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:_STEM]


def count_negations(text: str) -> int:
    """A "No," that opens an answer is none: what follows says it again."""
    every = list(words(_OPENING_NO.sub("", text)))
    count = sum(word in NEGATIONS or _NEGATED_AUXILIARY.match(word) is not None for word in every)
    return count or int(any(part in CONCORDANT for word in every for part in word.split("'")))
