"""Which texts of a record can reach an example, and the record with those texts replaced. Pure.

Inside JSON, of tool calls' arguments and of tools' definitions, every string is a text of its own, and every number of
as many digits as a telephone's: replacing in the JSON itself could break it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway_tuning.feedback.record import FeedbackRecord, Message, ToolCall

_PLAIN = (
    "system_prompt",
    "prompt",
    "response",
    "corrected_response",
    "reformulated_prompt",
    "reformulated_response",
)
_LEADING = ("system_prompt",)
_SHORTEST_NUMBER = 7  # digits
# Words that these hold in a tool's definition are names and types that calls refer to, written by developers.
_STRUCTURE = frozenset({"name", "type", "required", "format", "pattern", "$ref", "$schema"})
# What these hold are values: no word in them is structure.
_SAMPLES = frozenset({"default", "example", "examples", "enum", "const"})

Replace = Callable[[str], str]


def texts(record: FeedbackRecord) -> dict[str, str]:
    """By a name that tells its place. These must be anonymized together, for they speak of the same people.

    Numbering follows this order: first the conversation, then the answers.
    """
    found: dict[str, str] = {}
    _changes(record, found.setdefault)
    return found


def with_texts(record: FeedbackRecord, fields: Mapping[str, str]) -> FeedbackRecord:
    """The record with its texts replaced; every other free text is removed, as nobody anonymized it.

    Raises:
        ValueError: a text has no replacement.
    """
    try:
        return rewrite(record, lambda name, _text: fields[name])
    except KeyError:
        missing = sorted(texts(record).keys() - fields.keys())
        raise ValueError(f"Record {record.id} lacks anonymized text for {missing}") from None


def rewrite(record: FeedbackRecord, replace: Callable[[str, str], str]) -> FeedbackRecord:
    """`replace(name, text)` for each text, in a fixed order. Empty ones stay as they are."""
    removed: dict[str, Any] = {
        "comment": None,
        "metadata": {},
        "user_context": (),
        "request": None,
        "rating_token": None,
    }
    return record.model_copy(update={**removed, **_changes(record, replace)})


def _changes(record: FeedbackRecord, replace: Callable[[str, str], str]) -> dict[str, Any]:
    def named(name: str) -> str | None:
        text = getattr(record, name)
        return replace(name, text) if text else text

    changed: dict[str, Any] = {name: named(name) for name in _LEADING}
    changed["history"] = _messages("history", record.history, replace)
    changed["prompt"] = named("prompt")
    changed["turns"] = None if record.turns is None else _messages("turns", record.turns, replace)
    changed |= {name: named(name) for name in _PLAIN if name not in changed}
    if record.tools is not None:
        changed["tools"] = tuple(
            _json(tool, _numbered(f"tools.{index}", replace), keys=False)
            for index, tool in enumerate(record.tools)
        )
    return changed


def _messages(
    place: str, messages: tuple[Message, ...], replace: Callable[[str, str], str]
) -> tuple[Message, ...]:
    def one(index: int, message: Message) -> Message:
        name = f"{place}.{index}"
        calls = message.tool_calls and tuple(
            _call(call, _numbered(f"{name}.calls.{number}", replace))
            for number, call in enumerate(message.tool_calls)
        )
        content = replace(name, message.content) if message.content else ""
        return message.model_copy(update={"content": content, "tool_calls": calls})

    return tuple(one(index, message) for index, message in enumerate(messages))


def _call(call: ToolCall, replace: Replace) -> ToolCall:
    arguments = _json(json.loads(call.arguments), replace, keys=True)
    return call.model_copy(update={"arguments": json.dumps(arguments, ensure_ascii=False)})


def _numbered(place: str, replace: Callable[[str, str], str]) -> Replace:
    numbers: Iterator[int] = iter(range(1_000_000_000))
    return lambda text: replace(f"{place}.{next(numbers)}", text)


def _json(value: Any, replace: Replace, *, keys: bool) -> Any:
    match value:
        case str():
            return replace(value) if value else value
        case dict():
            return {
                (replace(key) if keys and key else key): (
                    item
                    if not keys and key in _STRUCTURE and _is_words(item)
                    else _json(item, replace, keys=keys or key in _SAMPLES)
                )
                for key, item in value.items()
            }
        case list() | tuple():
            return [_json(item, replace, keys=keys) for item in value]
        case bool() | None:
            return value
        case _:
            written = json.dumps(value)
            if sum(character.isdigit() for character in written) < _SHORTEST_NUMBER:
                return value
            replaced = replace(written)
            return value if replaced == written else replaced


def _is_words(value: Any) -> bool:
    """And not the schema of a parameter that is called `name` or `type`."""
    return isinstance(value, str) or (
        isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    )
