"""OpenAI: supervised, preference (DPO) and reinforcement (RFT) tuning. Pure."""

import re
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.formats import messages
from gateway_tuning.datasets.formats.content import TALK_AND_TOOLS, Content, Rules
from gateway_tuning.datasets.formats.format import Format, Limits, NameRule
from gateway_tuning.datasets.formats.jsonl import Row
from gateway_tuning.datasets.formats.shapes import (
    STRICT,
    Messages,
    OneAnswer,
    ToolChat,
    Tools,
    chat_faults,
    shape_faults,
)

REFERENCE = "reference_answer"  # graders of RFT read it as {{item.reference_answer}}
SOURCE = "platform.openai.com/docs/guides/fine-tuning"
MAX_TOKENS = 65_536  # an example of the gpt-4o and gpt-4.1 families
JOB_SUFFIX = NameRule(64)
FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TRAIN = Limits(min_lines=10, max_bytes=512 * 10**6)
VALIDATION = Limits(max_bytes=512 * 10**6)


class SftRow(ToolChat):
    parallel_tool_calls: bool | None = None


class DpoRow(BaseModel):
    model_config = STRICT

    input: SftRow
    preferred_output: OneAnswer
    non_preferred_output: OneAnswer


class RftRow(BaseModel):
    """Any further field is the grader's."""

    model_config = ConfigDict(extra="allow", strict=True)

    messages: Messages
    tools: Tools | None = None


def _sft_row(content: Content) -> Row:
    return {"messages": messages.weighted_chat(content), **messages.tools(content)}


def preference_row(content: Content) -> Row:
    return {
        "input": {"messages": messages.prompt(content), **messages.tools(content)},
        "preferred_output": [messages.answer(content.answer or "")],
        "non_preferred_output": [messages.answer(content.rejected or "")],
    }


def read_preference(row: Row) -> Content:
    return Content(
        ExampleKind.PREFERENCE,
        messages.turns_of(row["input"]["messages"]),
        row["preferred_output"][0]["content"],
        row["non_preferred_output"][0]["content"],
        tools=messages.tools_of(row["input"]),
    )


def _rft_row(content: Content) -> Row:
    return {
        "messages": messages.prompt(content),
        **messages.tools(content),
        REFERENCE: content.answer,
    }


def _read_rft(row: Row) -> Content:
    reference: Any = row.get(REFERENCE)
    return Content(
        ExampleKind.DEMONSTRATION,
        messages.turns_of(row["messages"]),
        reference if isinstance(reference, str) else None,
        tools=messages.tools_of(row),
    )


FORMATS = (
    Format(
        name="openai-sft",
        kind=ExampleKind.DEMONSTRATION,
        description="OpenAI supervised; answers before the last have the weight 0",
        source=SOURCE,
        rules=Rules(TALK_AND_TOOLS, system_first=False, function_name=FUNCTION_NAME),
        row=_sft_row,
        read=messages.read_chat,
        shape=partial(chat_faults, SftRow),
        train=TRAIN,
        validation=VALIDATION,
        max_tokens=MAX_TOKENS,
        job_name=JOB_SUFFIX,
        suffix=".jsonl",
    ),
    Format(
        name="openai-dpo",
        kind=ExampleKind.PREFERENCE,
        description="OpenAI preference (DPO)",
        source=SOURCE,
        rules=Rules(
            TALK_AND_TOOLS, system_first=False, function_name=FUNCTION_NAME, ends=frozenset(("user", "tool"))
        ),
        row=preference_row,
        read=read_preference,
        shape=partial(shape_faults, DpoRow),
        train=TRAIN,
        validation=VALIDATION,
        max_tokens=MAX_TOKENS,
        job_name=JOB_SUFFIX,
        suffix=".jsonl",
    ),
    Format(
        name="openai-rft",
        kind=ExampleKind.DEMONSTRATION,
        description=f"OpenAI reinforcement; the answer as {REFERENCE}. A validation file is required",
        source=SOURCE,
        rules=Rules(
            TALK_AND_TOOLS, system_first=False, function_name=FUNCTION_NAME, ends=frozenset(("user",))
        ),
        row=_rft_row,
        read=_read_rft,
        shape=partial(shape_faults, RftRow),
        train=TRAIN,
        validation=VALIDATION,
        max_tokens=MAX_TOKENS,
        job_name=JOB_SUFFIX,
        suffix=".jsonl",
    ),
)
