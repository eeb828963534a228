"""Chat messages as OpenAI writes them, which most services read too. Pure."""

import json
from collections.abc import Sequence

from gateway_tuning.datasets.example import ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.formats.content import Content
from gateway_tuning.datasets.formats.jsonl import Row


def message(turn: Turn) -> Row:
    """Without `content` where the assistant does nothing but call tools."""
    row: Row = {"role": turn.role}
    if turn.content or not turn.tool_calls:
        row["content"] = turn.content
    if turn.tool_calls:
        row["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.tool_call_id is not None:
        row["tool_call_id"] = turn.tool_call_id
    return row


def turn(row: Row) -> Turn:
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in row.get("tool_calls") or ()
    )
    return Turn(row["role"], row.get("content") or "", calls, row.get("tool_call_id"))


def answer(text: str) -> Row:
    return {"role": "assistant", "content": text}


def prompt(content: Content) -> list[Row]:
    return [message(turn) for turn in content.messages]


def chat(content: Content) -> list[Row]:
    """The prompt and its answer."""
    return [*prompt(content), answer(content.answer or "")]


def weighted_chat(content: Content) -> list[Row]:
    """Of the assistant's messages the answer alone is learned: nobody approved those before it."""
    earlier = [
        row | {"weight": 0} if row["role"] == "assistant" else row
        for row in (message(turn) for turn in content.messages)
    ]
    return [*earlier, answer(content.answer or "") | {"weight": 1}]


def tools(content: Content) -> Row:
    """The key `tools` where there are any."""
    return {"tools": [json.loads(tool) for tool in content.tools]} if content.tools else {}


def tools_of(row: Row) -> tuple[str, ...]:
    return tuple(json.dumps(tool, ensure_ascii=False) for tool in row.get("tools") or ())


def read_chat(row: Row) -> Content:
    """Of a row whose last message is the assistant's."""
    turns = [turn(item) for item in row["messages"]]
    return Content(
        ExampleKind.DEMONSTRATION,
        tuple(turns[:-1]),
        turns[-1].content,
        tools=tools_of(row),
        answer_calls=turns[-1].tool_calls,
        learned=row["messages"][-1].get("weight") != 0,
    )


def turns_of(rows: Sequence[Row]) -> tuple[Turn, ...]:
    return tuple(turn(row) for row in rows)


def _call(call: ToolCall) -> Row:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
