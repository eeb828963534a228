"""How many tokens a training file has: exactly where the tokenizer is at hand, by characters where it is not. Pure."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from gateway_tuning.datasets.formats.content import Content

# For want of a tokenizer. The first two are measured with a vocabulary of 49,000 tokens on the samples of this
# repository (`tests/unit/training/cost/test_measured.py`); the others stand between small vocabularies, which need more
# tokens, and those of 200,000, which need fewer.
ENGLISH = Decimal(4)  # characters a token
ACCENTED = Decimal(3)  # other languages in Latin letters
OTHER_ALPHABET = Decimal(2)
WIDE = Decimal(1)  # Chinese, Japanese, Korean
ENGLISH_ERROR, ACCENTED_ERROR, OTHER_ERROR = Decimal("0.2"), Decimal("0.25"), Decimal("0.6")
_FEW = Decimal("0.003")  # of a text: less of another script changes nothing

# What a chat template puts around a message and around a chat. OpenAI's are of its cookbook, "How to count tokens".
_AROUND_A_MESSAGE = 4
_AROUND_A_CHAT = 3

_WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_OTHER = re.compile(r"[\u0370-\u10ff\u1200-\u1dff]")
_ACCENTED = re.compile(r"[\u00c0-\u024f\u1e00-\u1eff]")


@dataclass(frozen=True, slots=True)
class Measure:
    """Counts the tokens of an example as it is trained on. `error` is relative, either way; `method` is told."""

    tokens_of: Callable[[Content], int]
    method: str
    error: Decimal


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Of one pass through a file. `error` 0 is exact."""

    tokens: int
    examples: int
    method: str
    error: Decimal

    def share_of(self, passes: Decimal) -> int:
        return int((self.tokens * passes).to_integral_value())


def counted(contents: Iterable[Content], measure: Measure) -> TokenCount:
    tokens = examples = 0
    for content in contents:
        tokens += measure.tokens_of(content)
        examples += 1
    return TokenCount(tokens, examples, measure.method, measure.error)


def conversations(content: Content) -> list[list[tuple[str, str]]]:
    """What is read in training, as roles and texts: a preference is read twice, with either answer."""
    prompt = [(turn.role, _said(turn.content, turn.tool_calls)) for turn in content.messages]
    if content.tools:
        prompt.insert(0, ("system", "\n".join(content.tools)))
    answers = [_said(content.answer or "", content.answer_calls)]
    if content.rejected is not None:
        answers.append(content.rejected)
    return [[*prompt, ("assistant", answer)] for answer in answers]


@dataclass(slots=True)
class _Approximation:
    """Remembers the least sure script that it has seen more than a few letters of."""

    error: Decimal = ENGLISH_ERROR

    def tokens_of(self, content: Content) -> int:
        tokens = 0
        for conversation in conversations(content):
            tokens += _AROUND_A_CHAT
            for _role, text in conversation:
                tokens += _AROUND_A_MESSAGE + approximate_tokens(text)
                self.error = max(self.error, _script(text)[1])
        return tokens


def approximated(contents: Iterable[Content], *, why: str) -> TokenCount:
    """`why` says why the tokenizer was not asked."""
    rule = _Approximation()
    count = counted(contents, Measure(rule.tokens_of, f"characters: {why}", ENGLISH_ERROR))
    return replace(count, error=rule.error)


def approximate_tokens(text: str) -> int:
    """A quarter of its characters in English; a letter of another alphabet is half a token, a wide one a whole."""
    wide, other = len(_WIDE.findall(text)), len(_OTHER.findall(text))
    latin = Decimal(len(text) - wide - other) / _script(text)[0]
    return math.ceil(latin + Decimal(other) / OTHER_ALPHABET + Decimal(wide) / WIDE)


def _script(text: str) -> tuple[Decimal, Decimal]:
    """Characters a token of what is in Latin letters, and how wrong the count of all may be."""
    few = len(text) * _FEW
    is_accented = len(_ACCENTED.findall(text)) > few
    if len(_WIDE.findall(text)) + len(_OTHER.findall(text)) > few:
        return (ACCENTED if is_accented else ENGLISH), OTHER_ERROR
    return (ACCENTED, ACCENTED_ERROR) if is_accented else (ENGLISH, ENGLISH_ERROR)


def _said(text: str, calls: Iterable[object]) -> str:
    return "\n".join(filter(None, [text, *(str(call) for call in calls)]))
