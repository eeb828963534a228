"""JSON out of an answer, by RFC 8259: no NaN, no trailing comma, no text around it. Pure."""

from dataclasses import dataclass
from typing import Any

import orjson

_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Parsed:
    """An object or array. `fenced`: it stood in a code fence, which a program would choke on."""

    value: dict[str, Any] | list[Any]
    fenced: bool


def parse_json(text: str) -> Parsed | str:
    """What the text is, or why it is neither an object nor an array, without quoting it."""
    inner = _within_fence(text.strip())
    try:
        value = orjson.loads(text if inner is None else inner)
    except orjson.JSONDecodeError as error:
        return f"no JSON: {str(error).split(': line')[0]}"
    if not isinstance(value, dict | list):
        return "JSON, but neither an object nor an array"
    return Parsed(value, inner is not None)


def _within_fence(text: str) -> str | None:
    opening, line_end, rest = text.partition("\n")
    language = opening.removeprefix(_FENCE)
    if not (opening.startswith(_FENCE) and line_end and rest.endswith(_FENCE)):
        return None
    return rest.removesuffix(_FENCE) if not language.strip() or language.strip().isalnum() else None
