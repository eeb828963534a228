"""Amazon Bedrock: Claude, Nova and Llama, as text. Pure."""

import re
from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.formats import messages
from gateway_tuning.datasets.formats.content import Content, Rules, system_prompt
from gateway_tuning.datasets.formats.format import Format, Limits, NameRule
from gateway_tuning.datasets.formats.jsonl import Row
from gateway_tuning.datasets.formats.shapes import STRICT, chat_faults, shape_faults

SCHEMA = "bedrock-conversation-2024"
SOURCE = "docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html"
# Of customModelName, the narrower of the two names that a job takes.
MODEL_NAME = NameRule(
    63, re.compile(r"([0-9a-zA-Z][_-]?)+"), "letters and digits, with single - or _ between them"
)


class TalkMessage(BaseModel):
    model_config = STRICT

    role: Literal["user", "assistant"]
    content: str


class ClaudeRow(BaseModel):
    model_config = STRICT

    system: str | None = None
    messages: Annotated[list[TalkMessage], Field(min_length=2)]


class Block(BaseModel):
    model_config = STRICT

    text: str


Blocks = Annotated[list[Block], Field(min_length=1)]


class ConverseMessage(BaseModel):
    model_config = STRICT

    role: Literal["user", "assistant"]
    content: Blocks


class ConverseRow(BaseModel):
    model_config = STRICT

    schemaVersion: Literal["bedrock-conversation-2024"]  # noqa: N815 - the service's name
    system: Blocks | None = None
    messages: Annotated[list[ConverseMessage], Field(min_length=2)]


class PromptRow(BaseModel):
    model_config = STRICT

    prompt: str
    completion: str


def _claude_row(content: Content) -> Row:
    system = system_prompt(content.messages)
    rows = [row for row in messages.chat(content) if row["role"] != "system"]
    return {**({} if system is None else {"system": system}), "messages": rows}


def _read_claude(row: Row) -> Content:
    return messages.read_chat({"messages": [*_system(row.get("system")), *row["messages"]]})


def _converse_row(content: Content) -> Row:
    system = system_prompt(content.messages)
    rows = [
        {"role": row["role"], "content": [{"text": row["content"]}]}
        for row in messages.chat(content)
        if row["role"] != "system"
    ]
    told = {} if system is None else {"system": [{"text": system}]}
    return {"schemaVersion": SCHEMA, **told, "messages": rows}


def _read_converse(row: Row) -> Content:
    system = None if row.get("system") is None else _text(row["system"])
    rows = [{"role": item["role"], "content": _text(item["content"])} for item in row["messages"]]
    return messages.read_chat({"messages": [*_system(system), *rows]})


def _prompt_row(content: Content) -> Row:
    return {"prompt": content.messages[-1].content, "completion": content.answer}


def _read_prompt(row: Row) -> Content:
    return Content(ExampleKind.DEMONSTRATION, (Turn("user", row["prompt"]),), row["completion"])


def _system(text: str | None) -> list[Row]:
    return [] if text is None else [{"role": "system", "content": text}]


def _text(blocks: list[Row]) -> str:
    return "\n".join(block["text"] for block in blocks)


FORMATS = (
    Format(
        name="bedrock-claude",
        kind=ExampleKind.DEMONSTRATION,
        description="Claude 3 Haiku on Bedrock; train and validation together hold 10,000 lines at most",
        source=SOURCE,
        rules=Rules(alternates=True, reserved=re.compile(r"\n(?:Human|Assistant):")),
        row=_claude_row,
        read=_read_claude,
        shape=partial(chat_faults, ClaudeRow),
        train=Limits(32, 10_000, 10 * 10**9),
        validation=Limits(1, 1_000, 10**9),
        max_tokens=32_000,
        job_name=MODEL_NAME,
        suffix=".jsonl",
    ),
    Format(
        name="bedrock-nova",
        kind=ExampleKind.DEMONSTRATION,
        description="Amazon Nova on Bedrock, text",
        source="docs.aws.amazon.com/nova/latest/userguide/customize-fine-tune-prepare.html",
        rules=Rules(
            alternates=True,
            reserved=re.compile(
                r"(?:system|user|bot|assistant|thought):|\[EOS\]|<image>|<video>|<unk>", re.IGNORECASE
            ),
        ),
        row=_converse_row,
        read=_read_converse,
        shape=partial(chat_faults, ConverseRow),
        train=Limits(8, 20_000),
        validation=Limits(1, 20_000),
        job_name=MODEL_NAME,
        suffix=".jsonl",
    ),
    Format(
        name="bedrock-llama",
        kind=ExampleKind.DEMONSTRATION,
        description="Llama 3.1 on Bedrock: prompt and completion",
        source=SOURCE,
        rules=Rules(frozenset(("user",)), single_turn=True),
        row=_prompt_row,
        read=_read_prompt,
        shape=partial(shape_faults, PromptRow),
        job_name=MODEL_NAME,
        suffix=".jsonl",
    ),
    Format(
        name="bedrock-llama-converse",
        kind=ExampleKind.DEMONSTRATION,
        description="Llama 3.2 on Bedrock: conversations",
        source=SOURCE,
        rules=Rules(alternates=True),
        row=_converse_row,
        read=_read_converse,
        shape=partial(chat_faults, ConverseRow),
        job_name=MODEL_NAME,
        suffix=".jsonl",
    ),
)
