"""The command line, walked as typer has built it."""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from docs.site.tables import code, paragraph, table
from gateway_tuning.cli import app

_PROGRAM = "gateway-tuning"


def render() -> str:
    root = typer.main.get_command(app)
    parts = [
        "# All commands\n\nAs `--help` tells them. What is given without `--` is an argument; `[...]` may be left out.\n"
    ]
    for words, command in _walk(root, ()):
        if hasattr(command, "commands"):
            parts.append(f"## {_PROGRAM} {' '.join(words)}\n\n{paragraph(command.help)}\n" if words else "")
        else:
            depth = "##" if len(words) == 1 else "###"
            parts.append(f"{depth} {_PROGRAM} {' '.join(words)}\n\n{paragraph(command.help)}\n")
        parts.append(_parameters(words, command))
    return "\n".join(part for part in parts if part)


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Single commands before groups, so that no command stands under the heading of another group."""
    yield words, command
    children = sorted(getattr(command, "commands", {}).items())
    for name, child in sorted(children, key=lambda item: hasattr(item[1], "commands")):
        if not child.hidden:
            yield from _walk(child, (*words, name))


def _parameters(words: tuple[str, ...], command: Any) -> str:
    shown = [
        one for one in command.params if not getattr(one, "hidden", False) and one.name not in _COMPLETION
    ]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    if not words or (hasattr(command, "commands") and not command.invoke_without_command):
        return ""
    usage = " ".join([_PROGRAM, *words, *(_metavar(one) for one in arguments)])
    rows = [(_name(one), _type(one), _default(one), getattr(one, "help", None) or "") for one in shown]
    return f"`{usage}`\n" + ("\n" + table(("", "type", "default", ""), rows) if rows else "")


def _metavar(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(parameter.name.upper())
    return ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))


def _type(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    limits = [
        f"{sign} {limit}" for sign, limit in (("≥", parameter.min), ("≤", parameter.max)) if limit is not None
    ]
    many = ["may be given again"] if getattr(parameter, "multiple", False) else []
    return ", ".join([_kind(parameter.type_descriptor.annotation), *limits, *many])


def _kind(annotation: Any) -> str:
    inner = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is Literal:
        return " ".join(str(value) for value in inner)
    if inner:
        return _kind(inner[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " ".join(str(member.value) for member in annotation)
    return _WORDS[annotation] if annotation in _WORDS else str(annotation.__name__)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    default = parameter.default
    if callable(default) or default in (None, False, (), []):
        return "-"
    return code("yes" if default is True else default)


_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    datetime: "time",
}
_COMPLETION = {"install_completion", "show_completion"}
