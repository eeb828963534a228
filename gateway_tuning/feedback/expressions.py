"""How one value is taken from a source row: by path, constant, template, or path and value map."""

from collections.abc import Mapping as Fields
from functools import cache
from string import Formatter
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class UnusableValueError(ValueError):
    """The row's value does not fit; the message is the reason of its quarantine."""


class Expression(BaseModel):
    """Exactly one of `path`, `template` and `value`. What the row does not hold is `default`, or absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | None = Field(None, description="Dotted: `passage.reference.title`, `choices.0.text`")
    template: str | None = Field(None, description="Text with paths in braces: `{a.b} — {c}`")
    value: Any = Field(None, description="A constant")
    map: dict[str, Any] | None = Field(
        None, description="From the path's value to this field's, or to several fields'"
    )
    default: Any = None

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, document: Any) -> Any:
        return {"path": document} if isinstance(document, str) else document

    @field_validator("map", mode="before")
    @classmethod
    def _keys_as_text(cls, entries: Any) -> Any:
        return (
            {as_text(key): value for key, value in entries.items()} if isinstance(entries, dict) else entries
        )

    @field_validator("path")
    @classmethod
    def _whole_path(cls, path: str | None) -> str | None:
        if path is not None and not all(split_path(path)):
            raise ValueError(f"path {path!r} has an empty part")
        return path

    @field_validator("template")
    @classmethod
    def _plain_template(cls, template: str | None) -> str | None:
        if template is not None:
            _template_parts(template)
        return template

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = self.model_fields_set & {"path", "template", "value"}
        if len(kinds) != 1:
            raise ValueError("needs exactly one of path, template and value")
        if self.map is not None and "path" not in kinds:
            raise ValueError("map needs a path")
        return self

    @property
    def sets(self) -> frozenset[str]:
        """The fields that a value map sets at once."""
        if self.map is None:
            return frozenset()
        entries = (entry for entry in (*self.map.values(), self.default) if isinstance(entry, dict))
        return frozenset(name for entry in entries for name in entry)

    def evaluate(self, row: Fields[str, Any]) -> Any:
        """The value in `row`, None when absent.

        Raises:
            UnusableValueError: the value map does not know the value, or a template meets a list or an object.
        """
        found = self._found(row)
        return self.default if found is None else found

    def _found(self, row: Fields[str, Any]) -> Any:
        if self.template is not None:
            return _fill(self.template, row)
        if self.path is None:
            return self.value
        found = look_up(row, self.path)
        if self.map is None or found is None:
            return found
        key = None if isinstance(found, dict | list) else as_text(found)
        if key is None or key not in self.map:
            raise UnusableValueError(f"The value map of {self.path} has no such entry: {shown(found)}")
        return self.map[key]


@cache
def split_path(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def look_up(row: Fields[str, Any], path: str) -> Any:
    """What stands at `path`, or None. A column that has the dotted path as its name comes first."""
    if path in row:
        return row[path]
    value: Any = row
    for part in split_path(path):
        if isinstance(value, Fields):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def replaced(row: Fields[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `row` with `value` at `path`, which `look_up` has found through objects alone."""
    if path in row:
        return {**row, path: value}
    first, *rest = split_path(path)
    return {**row, first: replaced(row[first], ".".join(rest), value)}


def as_text(value: Any) -> str:
    """Scalars as an export writes them: `true`, `1` for 1.0, `0.5`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def shown(value: Any) -> str:
    """For messages: short, and printable whatever the value holds."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - the width of a line


@cache
def _template_parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """Pairs of literal text and the path that follows it."""
    parts = []
    for literal, path, spec, conversion in Formatter().parse(template):
        if path is not None and (spec or conversion or not all(split_path(path))):
            raise ValueError(
                f"template {template!r}: write {{a.b}}, without formats; braces are doubled: {{{{"
            )
        parts.append((literal, path))
    return tuple(parts)


def _fill(template: str, row: Fields[str, Any]) -> str | None:
    texts = []
    for literal, path in _template_parts(template):
        texts.append(literal)
        if path is None:
            continue
        value = look_up(row, path)
        if value is None:
            return None
        if isinstance(value, dict | list):
            raise UnusableValueError(f"A template takes plain values, {path} is a {type(value).__name__}")
        texts.append(as_text(value))
    return "".join(texts)
