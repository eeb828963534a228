"""What a keyword of JSON Schema asks of one value: None, or what is wrong. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

Keyword = Callable[[Any, Any], str | None]
"""Of value and keyword's value."""

_NAMES: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_NUMBER = (int, float)


def _limit(kind: tuple[type, ...], fits: Callable[[Any, Any], bool], fault: str) -> Keyword:
    def keyword(value: Any, bound: Any) -> str | None:
        applies = isinstance(value, kind) and not isinstance(value, bool)
        return None if not applies or fits(value, bound) else f"{fault} {bound}"

    return keyword


def _type(value: Any, wanted: str | Sequence[str]) -> str | None:
    names = [wanted] if isinstance(wanted, str) else wanted
    if any(_is_a(value, name) for name in names):
        return None
    return f"is of type {_NAMES[type(value)]}, not {' or '.join(names)}"


def _enum(value: Any, wanted: Sequence[Any]) -> str | None:
    return None if any(_same(value, one) for one in wanted) else f"is none of {len(wanted)} allowed values"


def _const(value: Any, wanted: Any) -> str | None:
    return None if _same(value, wanted) else "is not the one allowed value"


KEYWORDS: dict[str, Keyword] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _limit(_NUMBER, lambda value, bound: value >= bound, "is below"),
    "maximum": _limit(_NUMBER, lambda value, bound: value <= bound, "is above"),
    "exclusiveMinimum": _limit(_NUMBER, lambda value, bound: value > bound, "is not above"),
    "exclusiveMaximum": _limit(_NUMBER, lambda value, bound: value < bound, "is not below"),
    "minLength": _limit((str,), lambda value, bound: len(value) >= bound, "has fewer characters than"),
    "maxLength": _limit((str,), lambda value, bound: len(value) <= bound, "has more characters than"),
    "minItems": _limit((list,), lambda value, bound: len(value) >= bound, "has fewer items than"),
    "maxItems": _limit((list,), lambda value, bound: len(value) <= bound, "has more items than"),
}
_FORMS: dict[str, tuple[type, ...]] = {
    "type": (str, list),
    "enum": (list,),
    "const": (object,),
    "properties": (dict,),
    "additionalProperties": (dict, bool),
    "required": (list,),
    "items": (dict, bool),
    "allOf": (list,),
    "anyOf": (list,),
    "oneOf": (list,),
    "$ref": (str,),
}


def is_well_formed(keyword: str, wanted: Any) -> bool:
    """Whether a schema gives the keyword a value that it can have."""
    if keyword in {"type", "required"} and isinstance(wanted, list):
        return all(isinstance(one, str) for one in wanted)
    forms = _FORMS.get(keyword, _NUMBER)
    return isinstance(wanted, forms) and not (forms is _NUMBER and isinstance(wanted, bool))


def _is_a(value: Any, name: str) -> bool:
    own = _NAMES[type(value)]
    if name == "number":
        return own in {"integer", "number"}
    if name == "integer" and own == "number":
        return bool(value.is_integer())
    return own == name


def _same(value: Any, other: Any) -> bool:
    """1 is 1.0 and not true."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
