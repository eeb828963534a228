"""Hugging Face TRL: supervised (SFT), preference (DPO) and labelled answers (KTO). Pure.

Calls of tools hold their arguments as an object, not as text, as chat templates expect it. Plain text instead of
messages is read and checked, and never written.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.formats import messages
from gateway_tuning.datasets.formats.content import TALK_AND_TOOLS, Content, Fault, Rules
from gateway_tuning.datasets.formats.format import Format
from gateway_tuning.datasets.formats.jsonl import Row
from gateway_tuning.datasets.formats.shapes import (
    STRICT,
    OneAnswer,
    SystemMessage,
    Tools,
    UserMessage,
    chat_faults,
    shape_faults,
)

SOURCE = "huggingface.co/docs/trl/dataset_formats"


class Function(BaseModel):
    model_config = STRICT

    name: str
    arguments: dict[str, Any]


class Call(BaseModel):
    model_config = STRICT

    id: str | None = None
    type: Literal["function"]
    function: Function


class AssistantMessage(BaseModel):
    model_config = STRICT

    role: Literal["assistant"]
    content: str | None = None
    tool_calls: Annotated[list[Call], Field(min_length=1)] | None = None


class ToolMessage(BaseModel):
    model_config = STRICT

    role: Literal["tool"]
    content: str
    tool_call_id: str | None = None
    name: str | None = None


Messages = Annotated[
    list[
        Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]
    ],
    Field(min_length=1),
]


class SftRow(BaseModel):
    model_config = STRICT

    messages: Messages
    tools: Tools | None = None


class PromptSftRow(BaseModel):
    model_config = STRICT

    prompt: Messages
    completion: OneAnswer
    tools: Tools | None = None


class PlainSftRow(BaseModel):
    model_config = STRICT

    prompt: str
    completion: str


class DpoRow(BaseModel):
    model_config = STRICT

    prompt: Messages
    chosen: OneAnswer
    rejected: OneAnswer
    tools: Tools | None = None


class PlainDpoRow(BaseModel):
    model_config = STRICT

    prompt: str
    chosen: str
    rejected: str


class KtoRow(PromptSftRow):
    label: bool


class PlainKtoRow(PlainSftRow):
    label: bool


def _with_objects(rows: list[Row]) -> list[Row]:
    return [_with_arguments(row, json.loads) for row in rows]


def _with_arguments(row: Row, change: Callable[[Any], Any]) -> Row:
    if not row.get("tool_calls"):
        return row
    calls = [
        call | {"function": call["function"] | {"arguments": change(call["function"]["arguments"])}}
        for call in row["tool_calls"]
    ]
    return row | {"tool_calls": calls}


def _with_ids(rows: list[Row]) -> Iterator[Row]:
    """Many templates need no ids: results then answer the calls in their order."""
    waiting: list[str] = []
    for place, row in enumerate(rows):
        if row.get("tool_calls"):
            calls = [
                call | {"id": call.get("id") or f"call-{place}-{number}"}
                for number, call in enumerate(row["tool_calls"])
            ]
            waiting = [call["id"] for call in calls]
            yield row | {"tool_calls": calls}
        elif row["role"] == "tool" and waiting and row.get("tool_call_id") is None:
            yield row | {"tool_call_id": waiting.pop(0)}
        else:
            yield row


def _turns(value: str | list[Row]) -> tuple[Turn, ...]:
    if isinstance(value, str):
        return (Turn("user", value),)
    as_text = partial(json.dumps, ensure_ascii=False)
    return messages.turns_of([_with_arguments(row, as_text) for row in _with_ids(value)])


def _text(value: str | list[Row]) -> str:
    return value if isinstance(value, str) else str(value[0]["content"])


def _sft_row(content: Content) -> Row:
    return {"messages": _with_objects(messages.chat(content)), **messages.tools(content)}


def _read_sft(row: Row) -> Content:
    if "messages" not in row:
        return _read_completion(row, ExampleKind.DEMONSTRATION)
    turns = _turns(row["messages"])
    return Content(
        ExampleKind.DEMONSTRATION,
        turns[:-1],
        turns[-1].content,
        tools=messages.tools_of(row),
        answer_calls=turns[-1].tool_calls,
    )


def _sft_shape(row: Row) -> Iterator[Fault]:
    if "prompt" not in row:
        return chat_faults(SftRow, row)
    return shape_faults(PlainSftRow if isinstance(row["prompt"], str) else PromptSftRow, row)


def _dpo_row(content: Content) -> Row:
    return {
        "prompt": _with_objects(messages.prompt(content)),
        "chosen": [messages.answer(content.answer or "")],
        "rejected": [messages.answer(content.rejected or "")],
        **messages.tools(content),
    }


def _read_dpo(row: Row) -> Content:
    return Content(
        ExampleKind.PREFERENCE,
        _turns(row["prompt"]),
        _text(row["chosen"]),
        _text(row["rejected"]),
        tools=messages.tools_of(row),
    )


def _dpo_shape(row: Row) -> Iterator[Fault]:
    return shape_faults(PlainDpoRow if isinstance(row.get("prompt"), str) else DpoRow, row)


def _kto_row(content: Content) -> Row:
    return {
        "prompt": _with_objects(messages.prompt(content)),
        "completion": [messages.answer(content.answer or "")],
        "label": content.desirable,
        **messages.tools(content),
    }


def _read_completion(row: Row, kind: ExampleKind) -> Content:
    return Content(
        kind,
        _turns(row["prompt"]),
        _text(row["completion"]),
        desirable=row.get("label"),
        tools=messages.tools_of(row),
    )


def _kto_shape(row: Row) -> Iterator[Fault]:
    return shape_faults(PlainKtoRow if isinstance(row.get("prompt"), str) else KtoRow, row)


FORMATS = (
    Format(
        name="trl-sft",
        kind=ExampleKind.DEMONSTRATION,
        description="TRL SFTTrainer, conversational",
        source=SOURCE,
        rules=Rules(TALK_AND_TOOLS),
        row=_sft_row,
        read=_read_sft,
        shape=_sft_shape,
    ),
    Format(
        name="trl-dpo",
        kind=ExampleKind.PREFERENCE,
        description="TRL DPOTrainer, conversational",
        source=SOURCE,
        rules=Rules(TALK_AND_TOOLS, ends=frozenset(("user", "tool"))),
        row=_dpo_row,
        read=_read_dpo,
        shape=_dpo_shape,
    ),
    Format(
        name="trl-kto",
        kind=ExampleKind.LABELLED,
        description="TRL KTOTrainer, conversational",
        source=SOURCE,
        rules=Rules(TALK_AND_TOOLS, ends=frozenset(("user", "tool"))),
        row=_kto_row,
        read=partial(_read_completion, kind=ExampleKind.LABELLED),
        shape=_kto_shape,
    ),
)
