"""A value against a JSON Schema, every check counted. Pure.

Known are the keywords of `keywords.py`, those that lead into objects and arrays, the combinations, and `$ref` into the
schema itself. What others ask for, `pattern` among them, stays open, and `Checked.open` names them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from gateway_tuning.evaluation.scoring.form.keywords import KEYWORDS, is_well_formed

DEPTH = 48  # levels of nesting that are looked into
_STEPS = 20_000  # of one value: a schema can refer to itself
_QUOTED = 40
_ANNOTATIONS = frozenset(
    {
        *(
            "$schema",
            "$id",
            "$comment",
            "$defs",
            "definitions",
            "title",
            "description",
            "default",
            "examples",
        ),
        *("deprecated", "readOnly", "writeOnly", "format", "strict", "name"),
    }
)


@dataclass(slots=True)
class Checked:
    """`faults` by place; `open` is what nobody looked at."""

    made: int = 0
    faults: list[str] = field(default_factory=list)
    open: set[str] = field(default_factory=set)

    @property
    def share(self) -> float:
        """Of the checks made, those without a fault."""
        return (self.made - len(self.faults)) / self.made if self.made else 1.0

    def note(self, place: str, fault: str | None) -> None:
        self.made += 1
        if fault is not None:
            self.faults.append(f"{place}: {fault}")


def check(value: Any, schema: Mapping[str, Any]) -> Checked:
    checked = Checked()
    _Checking(schema, checked, count()).look(value, schema, "$", 0)
    return checked


@dataclass(frozen=True, slots=True)
class _Checking:
    root: Mapping[str, Any]
    checked: Checked
    steps: Iterator[int]

    def look(self, value: Any, schema: Any, place: str, depth: int) -> None:
        if isinstance(schema, bool):
            self.checked.note(place, None if schema else "is not allowed")
        elif not isinstance(schema, Mapping):
            self.checked.open.add("a schema that is no object")
        elif depth > DEPTH or next(self.steps) > _STEPS:
            self.checked.open.add("what is nested too deeply or too much")
        else:
            for keyword in schema:
                if keyword not in _ANNOTATIONS:
                    self.keyword(keyword, schema, value, place, depth)

    def keyword(self, keyword: str, schema: Mapping[str, Any], value: Any, place: str, depth: int) -> None:
        wanted = schema[keyword]
        if not is_well_formed(keyword, wanted) or keyword not in KEYWORDS.keys() | _LOOKS.keys():
            self.checked.open.add(keyword[:_QUOTED])
        elif keyword in KEYWORDS:
            self.checked.note(place, KEYWORDS[keyword](value, wanted))
        elif keyword == "additionalProperties":
            known = schema.get("properties") or {}
            others = [name for name in value if name not in known] if isinstance(value, dict) else []
            self.properties(value, dict.fromkeys(others, wanted), place, depth)
        else:
            _LOOKS[keyword](self, value, wanted, place, depth)

    def properties(self, value: Any, wanted: Mapping[str, Any], place: str, depth: int) -> None:
        if isinstance(value, dict):
            for name in (
                name for name in wanted if name in value
            ):  # in the schema's order: notes stay the same
                self.look(value[name], wanted[name], _below(place, name), depth + 1)

    def required(self, value: Any, wanted: Sequence[str], place: str, _depth: int) -> None:
        if isinstance(value, dict):
            for name in wanted:
                self.checked.note(_below(place, name), None if name in value else "is missing")

    def items(self, value: Any, wanted: Any, place: str, depth: int) -> None:
        if isinstance(value, list):
            for number, one in enumerate(value):
                self.look(one, wanted, f"{place}[{number}]", depth + 1)

    def every(self, value: Any, wanted: Sequence[Any], place: str, depth: int) -> None:
        for schema in wanted:
            self.look(value, schema, place, depth + 1)

    def any_of(
        self, value: Any, wanted: Sequence[Any], place: str, depth: int, most: int | None = None
    ) -> None:
        tried = [Checked() for _ in wanted]
        for checked, schema in zip(tried, wanted, strict=True):
            _Checking(self.root, checked, self.steps).look(value, schema, place, depth + 1)
        fitting = [checked for checked in tried if not checked.faults]
        unsure = {keyword for checked in fitting for keyword in checked.open}
        if unsure:
            self.checked.open |= unsure
        elif not fitting:
            self.checked.note(place, "fits none of the allowed forms")
        else:
            too_many = most is not None and len(fitting) > most
            self.checked.note(place, "fits more than one of the forms" if too_many else None)

    def one_of(self, value: Any, wanted: Sequence[Any], place: str, depth: int) -> None:
        self.any_of(value, wanted, place, depth, most=1)

    def reference(self, value: Any, wanted: str, place: str, depth: int) -> None:
        target = _resolve(self.root, wanted)
        if target is None:
            self.checked.open.add("$ref")
        else:
            self.look(value, target, place, depth + 1)


_LOOKS: dict[str, Callable[[_Checking, Any, Any, str, int], None]] = {
    "properties": _Checking.properties,
    "additionalProperties": _Checking.properties,
    "required": _Checking.required,
    "items": _Checking.items,
    "allOf": _Checking.every,
    "anyOf": _Checking.any_of,
    "oneOf": _Checking.one_of,
    "$ref": _Checking.reference,
}


def _resolve(root: Mapping[str, Any], pointer: str) -> Any:
    """What an RFC 6901 pointer of this schema leads to, None where to nothing."""
    if pointer == "#":
        return root
    if not pointer.startswith("#/"):
        return None
    target: Any = root
    for step in pointer[2:].split("/"):
        if not isinstance(target, Mapping):
            return None
        target = target.get(step.replace("~1", "/").replace("~0", "~"))
    return target


def _below(place: str, name: str) -> str:
    return f"{place}.{name if len(name) <= _QUOTED else name[: _QUOTED - 1] + '…'}"
