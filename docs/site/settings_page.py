"""Settings: the class is the source."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from docs.site.tables import code, table
from gateway_tuning.settings import PREFIX, Settings


def render() -> str:
    rows = [
        (_variables(name, field), _type(field), _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# All settings\n\nEvery environment variable with its type and limits, in the order of the code. "
        "[Settings](../settings.md) has them by subject.\n\n"
        + table(("variable", "type", "default", "what it is"), rows)
    )


def _variables(name: str, field: FieldInfo) -> str:
    alias: Any = field.validation_alias
    names = [PREFIX + name.upper()] if alias is None else [str(choice) for choice in alias.choices]
    return "<br>".join(code(one) for one in names)


def _type(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(limit, name):,}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]
    return ", ".join([_kind(field.annotation), *bounds])


def _kind(annotation: Any) -> str:
    inner = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(code(value) for value in inner)
    return _kind(inner[0]) if inner else _WORDS.get(annotation, annotation.__name__)


def _default(field: FieldInfo) -> str:
    default = field.default
    return "-" if default is None else code(str(default).lower() if isinstance(default, bool) else default)


_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret",
}
