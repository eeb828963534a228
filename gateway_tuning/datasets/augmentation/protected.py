"""What stays as it is in every variant of a text: placeholders, numbers, addresses, code. Pure."""

import re
from collections import Counter

# As anonymization writes them, with a number or the short code of a pseudonym, and by other tools without either.
PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*(?:_[a-z2-7]{6})?>")
ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]{0,20}://[^\s<>\"']+|\bwww\.[^\s<>\"']+|[^\s<>\"'()@]{1,64}@[^\s<>\"'()]+",
    re.IGNORECASE,
)
CODE = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)"  # fenced, also where the fence is left open
    r"|`[^`\n]+`"
    r"|^(?: {4}|\t)[^\n]*"
    r"|</?[A-Za-z!][^<>\n]{0,200}>",  # tags, placeholders among them
    re.DOTALL | re.MULTILINE,
)
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")


def placeholders(text: str) -> Counter[str]:
    return Counter(PLACEHOLDER.findall(text))


def numbers(text: str) -> frozenset[str]:
    """Of what is no placeholder; digits with the signs between them, as in 1,299.50 or 2026-11-01."""
    return frozenset(_NUMBER.findall(PLACEHOLDER.sub(" ", text)))


def addresses(text: str) -> frozenset[str]:
    """URLs and mail addresses, without the full stop or bracket of the sentence around them."""
    return frozenset(found.rstrip(".,;:!?)]") for found in ADDRESS.findall(text))
