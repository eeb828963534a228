"""A request and its answer, however the tool wrote them down, as the texts of a record.

Known are plain text, lists of chat messages with text or content blocks, calls of tools, and objects around them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gateway_tuning.feedback.expressions import shown
from gateway_tuning.feedback.importers.cells import parsed
from gateway_tuning.feedback.importers.protocol import UnfitError

ROLES = {"developer": "system", "function": "tool", "model": "assistant", "human": "user", "ai": "assistant"}
TEXT_BLOCKS = ("text", "input_text", "output_text", "raw_text", "refusal")
UNSEEN_BLOCKS = ("thought", "thinking", "redacted_thinking", "reasoning")  # no user sees them
CALL_BLOCKS = ("tool_call", "tool_use", "function_call")
RESULT_BLOCKS = ("tool_result", "function_call_output")


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    content: str
    tool_calls: tuple[dict[str, str], ...] = ()
    tool_call_id: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        told = {"role": self.role, "content": self.content}
        called = {"tool_calls": list(self.tool_calls), "tool_call_id": self.tool_call_id}
        return told | {name: value for name, value in called.items() if value}


def request_fields(value: Any, *, unwrap: bool = False) -> dict[str, Any]:
    """`system_prompt`, `history`, `prompt` and the `turns` after it.

    With `unwrap` an object with one text in it stands for that text.

    Raises:
        UnfitError: it is no chat, or a record cannot hold it.
    """
    value = parsed(value)
    turns = _with_known_calls(list(_turns(value, unwrap=unwrap)))
    lead = next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        raise UnfitError("Request holds no user message: its roles are " + shown([t.role for t in turns]))
    if turns[-1].role not in ("user", "tool"):
        raise UnfitError(
            "Request goes on after the user's message, and not with the result of a tool: found "
            + shown([turn.role for turn in turns[last + 1 :]])
        )
    after = [turn.fields for turn in turns[last + 1 :] if turn.role != "system"]
    return {
        "system_prompt": "\n\n".join(turn.content for turn in turns[:lead]) or None,
        "history": [turn.fields for turn in turns[lead:last]],
        "prompt": turns[last].content,
        **({"turns": after} if after else {}),
    }


def answer_text(value: Any, *, unwrap: bool = False) -> str:
    """The text of the answer; JSON that is no chat is an answer in JSON, unless `unwrap` is given.

    Raises:
        UnfitError: there is no text in it: a tool call, a picture, several choices.
    """
    found = _only_choice(parsed(value))
    if isinstance(found, dict) and isinstance(found.get("raw"), str) and "parsed" in found:
        return str(found["raw"])
    messages = _answer_messages(found)
    if messages is not None:
        return _only_text(messages)
    if unwrap and isinstance(found, dict):
        return _sole_text(found, "Answer")
    if isinstance(value, str):
        return value
    return "" if found is None else json.dumps(found, ensure_ascii=False)


def _with_known_calls(turns: list[Turn]) -> list[Turn]:
    """The call that a tool's turn answers may stand as text, or not at all."""
    made = {call["id"] for turn in turns for call in turn.tool_calls}
    return [turn if turn.tool_call_id in made else replace(turn, tool_call_id=None) for turn in turns]


def _only_choice(value: Any) -> Any:
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list):
        return value
    if len(choices) != 1:
        raise UnfitError(f"Answer has several choices: {len(choices)}, which one was meant is not known")
    return choices[0].get("message") if isinstance(choices[0], dict) else choices[0]


def _answer_messages(value: Any) -> list[dict[str, Any]] | None:
    """A message, the last of several, or content blocks without one; None for what is no chat."""
    if _is_message(value):
        return [value]
    if not isinstance(value, list) or not value:
        return None
    if all(_is_message(item) for item in value):
        return [item for item in value if _role(item) == "assistant"][-1:]
    if all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in value):
        return [{"role": "assistant", "content": value}]
    return None


def _turns(value: Any, *, unwrap: bool) -> Iterator[Turn]:
    if isinstance(value, str):
        yield Turn("user", value)
        return
    if isinstance(value, dict) and isinstance(messages := parsed(value.get("messages")), list):
        system = value.get("system")
        if system is not None:
            if not isinstance(system, str | list):
                raise UnfitError(
                    "System prompt is arguments of a template, not text: the template is not here"
                )
            yield from _message_turns({"role": "system", "content": system})
        value = messages
    elif _is_message(value):
        value = [value]
    elif isinstance(value, dict) and unwrap:
        yield Turn("user", _sole_text(value, "Request"))
        return
    if not isinstance(value, list) or not all(_is_message(item) for item in value):
        raise UnfitError(f"Request is no chat: {shown(value)}")
    for message in value:
        yield from _message_turns(message)


def _message_turns(message: dict[str, Any]) -> Iterator[Turn]:
    """Tool results that stand in a user's message are turns of their own. A call without an id is told as text."""
    role, texts, calls = _role(message), list[str](), list[dict[str, Any]]()
    for block in _blocks(message):
        kind = block.get("type")
        if kind in RESULT_BLOCKS:
            result = next((block[key] for key in ("result", "content", "output") if block.get(key)), "")
            told = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
            yield Turn(
                "tool",
                told,
                tool_call_id=_first_text(block, ("tool_use_id", "tool_call_id", "call_id", "id")),
            )
        elif kind in CALL_BLOCKS:
            calls.append(block)
        elif kind not in UNSEEN_BLOCKS:
            texts.append(_block_text(block))
    calls += [call for call in message.get("tool_calls") or () if isinstance(call, dict)]
    structured = [_call(call) for call in calls]
    known = tuple(call for call in structured if call is not None)
    texts += [_call_text(call) for call, fields in zip(calls, structured, strict=True) if fields is None]
    if texts or known:
        answers = _first_text(message, ("tool_call_id",)) if role == "tool" else None
        yield Turn(role, "\n".join(texts), known, answers)


def _only_text(messages: list[dict[str, Any]]) -> str:
    blocks = [block for message in messages for block in _blocks(message)]
    called = any(message.get("tool_calls") or message.get("function_call") for message in messages)
    if called or any(block.get("type") in CALL_BLOCKS for block in blocks):
        raise UnfitError("Answer calls a tool: a record holds answers in text")
    return "\n".join(_block_text(block) for block in blocks if block.get("type") not in UNSEEN_BLOCKS)


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if content is None:
        content = message.get("refusal") or message.get("content_parts") or []
    blocks = content if isinstance(content, list) else [content]
    return [block if isinstance(block, dict) else {"type": "text", "text": block} for block in blocks]


def _block_text(block: dict[str, Any]) -> str:
    kind = block.get("type", "text")
    text = next((block[key] for key in ("text", "value", "refusal") if key in block), None)
    if kind in TEXT_BLOCKS and isinstance(text, str):
        return text
    if "arguments" in block:
        raise UnfitError("Message is arguments of a template, not text: the template is not here")
    raise UnfitError(f"Message is not text alone: it holds {shown(kind)}")


def _call(call: dict[str, Any]) -> dict[str, str] | None:
    """None where a record cannot hold it as a call: no id, no name, or arguments that are no object."""
    id_, told = _first_text(call, ("id", "call_id")), _told(call)
    if id_ is None or not isinstance(told["name"], str) or not isinstance(told["arguments"], dict | None):
        return None
    arguments = json.dumps(told["arguments"] or {}, ensure_ascii=False)
    return {"id": id_, "name": told["name"], "arguments": arguments}


def _call_text(call: dict[str, Any]) -> str:
    return json.dumps({"tool_call": _told(call)}, ensure_ascii=False, sort_keys=True)


def _told(call: dict[str, Any]) -> dict[str, Any]:
    inner = call.get("function")
    function = inner if isinstance(inner, dict) else call
    keys = {"name": ("name", "raw_name"), "arguments": ("arguments", "input", "raw_arguments")}
    return {
        key: next((parsed(function[name]) for name in names if function.get(name)), None)
        for key, names in keys.items()
    }


def _first_text(value: dict[str, Any], names: Iterable[str]) -> str | None:
    return next((value[name] for name in names if isinstance(value.get(name), str) and value[name]), None)


def _sole_text(value: dict[str, Any], what: str) -> str:
    texts = [item for item in value.values() if isinstance(item, str)]
    if len(value) != 1 or len(texts) != 1:
        raise UnfitError(f"{what} is no chat: an object with {shown(sorted(map(str, value)))}")
    return texts[0]


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and _role(value) in _KNOWN


def _role(message: dict[str, Any]) -> str:
    role = str(message["role"]).lower()
    return ROLES.get(role, role)


_KNOWN = frozenset(("system", "user", "assistant", "tool"))
