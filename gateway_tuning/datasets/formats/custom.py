"""Lines by a template: a JSON object in which whole text values such as "{{prompt}}" are replaced. Pure.

Nothing is computed and no code runs: a placeholder stands alone in its value and names one part of an example.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.formats import messages
from gateway_tuning.datasets.formats.content import (
    TALK,
    TALK_AND_TOOLS,
    Content,
    Fault,
    Rules,
    system_prompt,
)
from gateway_tuning.datasets.formats.format import Format
from gateway_tuning.datasets.formats.jsonl import NotARowError, Row, parse
from gateway_tuning.datasets.formats.shapes import ToolChat, shape_faults
from gateway_tuning.errors import ConfigurationError

PLACEHOLDERS: dict[str, str] = {
    "chat": "all messages with the answer, as OpenAI writes them",
    "messages": "all messages before the answer",
    "system": "the system prompt, or null",
    "prompt": "the user's message",
    "answer": "the answer: the preferred or the labelled one",
    "rejected": "the answer that was not preferred",
    "desirable": "true or false",
    "tools": "definitions of tools, [] where there are none",
}
_PLACEHOLDER = re.compile(r"\{\{\s*([a-z]+)\s*\}\}")


def custom(template: str) -> Format:
    """The format of a template, the JSON text of one line.

    Raises:
        ConfigurationError: the template is no JSON object, or a placeholder is unknown, does not stand alone, or
            does not go together with another one.
    """
    try:
        document = parse(template)
    except NotARowError as error:
        raise ConfigurationError(f"Template of the custom format {error}; write one JSON object") from None
    names = list(_names(document))
    used = frozenset(names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"Template uses {{{{{twice[0]}}}}} more than once; use it once")
    if not used & {"answer", "chat"}:
        raise ConfigurationError("Template holds no answer; use {{answer}} or {{chat}}")
    if not used & {"prompt", "messages", "chat"}:
        raise ConfigurationError("Template holds no prompt; use {{prompt}}, {{messages}} or {{chat}}")
    if {"rejected", "desirable"} <= used:
        raise ConfigurationError("Template uses {{rejected}} and {{desirable}}; an example has one of them")
    kind = _kind(used)
    return Format(
        name="custom",
        kind=kind,
        description="By a template of yours",
        source="docs/how-to/export-a-dataset.md",
        rules=_rules(used),
        row=partial(_filled, document),
        read=partial(_read, document, kind),
        shape=partial(_differences, document),
    )


def _kind(used: frozenset[str]) -> ExampleKind:
    if "rejected" in used:
        return ExampleKind.PREFERENCE
    return ExampleKind.LABELLED if "desirable" in used else ExampleKind.DEMONSTRATION


def _rules(used: frozenset[str]) -> Rules:
    if used & {"chat", "messages"}:
        return Rules(
            TALK_AND_TOOLS if "tools" in used else TALK,
            system_first="system" in used,
            ends=frozenset(("user",)) if "prompt" in used else None,
        )
    return Rules(TALK if "system" in used else frozenset(("user",)), single_turn=True)


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if "{{" in key:
                raise ConfigurationError(f"Template key {key!r} holds a placeholder; only values can")
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)
    elif isinstance(value, str) and "{{" in value:
        found = _PLACEHOLDER.fullmatch(value)
        if found is None or found[1] not in PLACEHOLDERS:
            known = ", ".join(f"{{{{{name}}}}}" for name in PLACEHOLDERS)
            raise ConfigurationError(f"Template value {value!r} is no placeholder alone; there are: {known}")
        yield found[1]


def _name(value: Any) -> str | None:
    found = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else found[1]


_VALUES: dict[str, Callable[[Content], Any]] = {
    "chat": messages.chat,
    "messages": messages.prompt,
    "system": lambda content: system_prompt(content.messages),
    "prompt": lambda content: content.messages[-1].content,
    "answer": lambda content: content.answer,
    "rejected": lambda content: content.rejected,
    "desirable": lambda content: content.desirable,
    "tools": lambda content: [json.loads(tool) for tool in content.tools],
}


def _filled(value: Any, content: Content) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, content) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, content) for item in value]
    name = _name(value)
    return value if name is None else _VALUES[name](content)


def _found(template: Any, value: Any, place: str = "") -> Iterator[tuple[str, str, Any]]:
    """(placeholder, place, value) for each placeholder; `template` and `value` have the same keys."""
    if isinstance(template, dict):
        for key, item in template.items():
            yield from _found(item, value[key], f"{place}.{key}" if place else key)
    elif isinstance(template, list):
        for number, item in enumerate(template):
            yield from _found(item, value[number], f"{place}[{number}]")
    elif (name := _name(template)) is not None:
        yield name, place, value


def _differences(document: Row, row: Row) -> Iterator[Fault]:
    found = list(_skeleton_faults(document, row, ""))
    yield from found
    if not found:
        for name, place, value in _found(document, row):
            yield from _value_faults(name, place, value)


def _skeleton_faults(template: Any, value: Any, place: str) -> Iterator[Fault]:
    if isinstance(template, dict) and isinstance(value, dict):
        for key in {**template, **value}:
            where = f"{place}.{key}" if place else str(key)
            if key not in value:
                yield Fault("missing", "add it", where)
            elif key not in template:
                yield Fault("unknown key", "remove it: the template does not have it", where)
            else:
                yield from _skeleton_faults(template[key], value[key], where)
    elif isinstance(template, list) and isinstance(value, list) and len(template) == len(value):
        for number, (item, other) in enumerate(zip(template, value, strict=True)):
            yield from _skeleton_faults(item, other, f"{place}[{number}]")
    elif _name(template) is None and (type(template), template) != (type(value), value):
        yield Fault("another value than in the template", f"write {json.dumps(template)}", place)


def _value_faults(name: str, place: str, value: Any) -> Iterator[Fault]:
    if name in ("chat", "messages"):
        yield from (
            Fault(fault.reason, fault.remedy, fault.where.replace("messages", place, 1))
            for fault in shape_faults(ToolChat, {"messages": value})
        )
        if name == "chat" and isinstance(value, list) and value and not _ends_with_answer(value[-1]):
            yield Fault("the last message is not the assistant's", "end with the answer", place)
    elif name == "tools":
        if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
            yield Fault("no list of objects", "write a list of definitions, or []", place)
    elif name == "desirable":
        if not isinstance(value, bool):
            yield Fault("no label", "write true or false", place)
    elif not isinstance(value, str) and not (name == "system" and value is None):
        yield Fault("no text", "write a text", place)


def _ends_with_answer(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "assistant"


def _read(document: Row, kind: ExampleKind, row: Row) -> Content:
    values = {name: value for name, _place, value in _found(document, row)}
    rows = values["chat"][:-1] if "chat" in values else values.get("messages")
    if rows is not None:
        turns = messages.turns_of(rows)
    else:
        system = values.get("system")
        turns = (*([] if system is None else [Turn("system", system)]), Turn("user", values["prompt"]))
    last = values["chat"][-1] if "chat" in values else {}
    return Content(
        kind,
        turns,
        values.get("answer", last.get("content") or ""),
        values.get("rejected"),
        values.get("desirable"),
        messages.tools_of(values),
        messages.turn(last).tool_calls if last else (),
    )
