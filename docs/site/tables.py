"""Markdown tables, and types in words."""

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are Markdown; line breaks and pipes in them are made harmless."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def paragraph(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())


def worded(schema: dict[str, Any]) -> str:
    """The type of a field of a JSON schema."""
    several = [one for name in ("anyOf", "oneOf", "allOf") for one in schema.get(name, ())]
    if several:
        return " or ".join(dict.fromkeys(worded(one) for one in several))
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema or "const" in schema:
        return " ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> str:
    kind, values = schema.get("type", "anything"), schema.get("additionalProperties")
    if kind == "array":
        return f"list of {worded(schema.get('items', {}))}"
    if kind == "object" and isinstance(values, dict):
        return f"map of {worded(values)}"
    return " ".join(str(part) for part in (schema.get("format", kind), *_bounds(schema)))


def _bounds(schema: dict[str, Any]) -> list[str]:
    words = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
        "minLength": "length ≥",
        "maxLength": "length ≤",
        "pattern": "like",
    }
    return [f"{word} {schema[name]}" for name, word in words.items() if name in schema]


def _cell(text: str) -> str:
    return " ".join(text.replace("\\|", "|").replace("|", "\\|").split())
