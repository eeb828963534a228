"""Does an answer have to be JSON? Pure.

The preferred answer decides where there is one. Without it the words of the system prompt and of the user's last turn
do, in English, German, French and Spanish.
"""

import re
from collections.abc import Iterator

from gateway_tuning.evaluation.scoring.form.parsing import Parsed, parse_json
from gateway_tuning.evaluation.scoring.protocol import Item

_ORDER = re.compile(
    r"\b(?:answer|respond|reply|return|output|produce|write|give|provide|format"
    r"|antworte\w*|gib|liefere|schreibe|réponds|répondez|renvoie|renvoyez|responde|responda|devuelve|devuelva)\b"
    r"[^.?!\n]{0,80}\bJSON\b"
    r"|\b(?:only|valid|strict|nur|gültiges|seulement|uniquement|solo|sólo|válido)\s+JSON\b"
    r"|\bJSON\s+(?:only|object|array|schema)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"\bhow\b|\bwhat\b|\bwhy\b|\bwie\b|\bwas\b|\bcomment\b|\bcómo\b", re.IGNORECASE)
_READ = 20_000  # characters of a turn


def wants_json(item: Item) -> str | None:
    """None where JSON is wanted, else why not."""
    if item.reference is not None:
        return None if isinstance(parse_json(item.reference), Parsed) else "The preferred answer is no JSON"
    if any(_ORDER.search(text[:_READ]) for text in instructions(item)):
        return None
    return "Nobody asked for JSON"


def instructions(item: Item) -> Iterator[str]:
    """Texts that may say how to answer. A question about JSON is no order."""
    for turn in item.messages:
        if turn.role in {"system", "developer"}:
            yield turn.content
    if not _QUESTION.match(item.prompt.lstrip()):
        yield item.prompt
