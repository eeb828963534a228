"""ShareGPT and Alpaca: what open tuning tools read. Both are text alone. Pure."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.formats import messages
from gateway_tuning.datasets.formats.content import Content, Fault, Rules
from gateway_tuning.datasets.formats.format import Format
from gateway_tuning.datasets.formats.jsonl import Row
from gateway_tuning.datasets.formats.shapes import STRICT, shape_faults

SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}
ROLES = {speaker: role for role, speaker in SPEAKERS.items()}


class Said(BaseModel):
    model_config = STRICT

    speaker: Annotated[Literal["system", "human", "gpt"], Field(alias="from")]
    value: str


class ShareGptRow(BaseModel):
    model_config = STRICT

    conversations: Annotated[list[Said], Field(min_length=2)]


class AlpacaRow(BaseModel):
    model_config = STRICT

    instruction: str
    input: str
    output: str


def _sharegpt_row(content: Content) -> Row:
    return {
        "conversations": [
            {"from": SPEAKERS[row["role"]], "value": row["content"]} for row in messages.chat(content)
        ]
    }


def _read_sharegpt(row: Row) -> Content:
    rows = [{"role": ROLES[said["from"]], "content": said["value"]} for said in row["conversations"]]
    return messages.read_chat({"messages": rows})


def _sharegpt_shape(row: Row) -> Iterator[Fault]:
    found = list(shape_faults(ShareGptRow, row))
    yield from found
    if not found and row["conversations"][-1]["from"] != "gpt":
        yield Fault("the conversation does not end with 'gpt'", "end with the answer to be learned")


def _alpaca_row(content: Content) -> Row:
    return {"instruction": content.messages[-1].content, "input": "", "output": content.answer}


def _read_alpaca(row: Row) -> Content:
    prompt = "\n".join(text for text in (row["instruction"], row["input"]) if text)
    return Content(ExampleKind.DEMONSTRATION, (Turn("user", prompt),), row["output"])


FORMATS = (
    Format(
        name="sharegpt",
        kind=ExampleKind.DEMONSTRATION,
        description="ShareGPT conversations, for open tuning tools",
        source="github.com/lm-sys/FastChat",
        rules=Rules(alternates=True),
        row=_sharegpt_row,
        read=_read_sharegpt,
        shape=_sharegpt_shape,
    ),
    Format(
        name="alpaca",
        kind=ExampleKind.DEMONSTRATION,
        description="Alpaca: one instruction and its output, for open tuning tools",
        source="github.com/tatsu-lab/stanford_alpaca",
        rules=Rules(frozenset(("user",)), single_turn=True),
        row=_alpaca_row,
        read=_read_alpaca,
        shape=partial(shape_faults, AlpacaRow),
    ),
)
