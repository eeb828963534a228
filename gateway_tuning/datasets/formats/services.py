"""Services that read OpenAI's messages with rules of their own: Mistral, Together, Fireworks. Pure."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.datasets.formats import messages
from gateway_tuning.datasets.formats.content import TALK_AND_TOOLS, Content, Fault, Rules
from gateway_tuning.datasets.formats.format import Format, Limits, NameRule
from gateway_tuning.datasets.formats.jsonl import Row
from gateway_tuning.datasets.formats.openai import FUNCTION_NAME, preference_row, read_preference
from gateway_tuning.datasets.formats.shapes import TextPreference, ToolChat, chat_faults, shape_faults

USER_LAST = frozenset(("user",))
_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def mistral_call_id(id_: str) -> str:
    """Mistral takes ids of nine letters and digits alone; another id becomes one, always the same."""
    if _MISTRAL_ID.fullmatch(id_):
        return id_
    number = int.from_bytes(sha256(id_.encode(errors="surrogatepass")).digest())
    return "".join(_DIGITS[number // 62**place % 62] for place in range(9))


def _mistral_turn(turn: Turn) -> Turn:
    answers = None if turn.tool_call_id is None else mistral_call_id(turn.tool_call_id)
    calls = tuple(replace(call, id=mistral_call_id(call.id)) for call in turn.tool_calls)
    return replace(turn, tool_calls=calls, tool_call_id=answers)


def _mistral_row(content: Content) -> Row:
    named = replace(content, messages=tuple(_mistral_turn(turn) for turn in content.messages))
    return {"messages": messages.chat(named), **messages.tools(named)}


def _mistral_shape(row: Row) -> Iterator[Fault]:
    found = list(chat_faults(ToolChat, row))
    yield from found
    for place, message in enumerate([] if found else row["messages"]):
        for call in message.get("tool_calls") or ():
            if not _MISTRAL_ID.fullmatch(call["id"]):
                yield Fault(
                    f"the id {call['id']!r} of a tool call",
                    "use nine letters or digits, in the tool's message too",
                    f"messages[{place}]",
                )


def _weighted_row(content: Content) -> Row:
    return {"messages": messages.weighted_chat(content), **messages.tools(content)}


FORMATS = (
    Format(
        name="mistral",
        kind=ExampleKind.DEMONSTRATION,
        description="Mistral",
        source="docs.mistral.ai/capabilities/finetuning",
        rules=Rules(TALK_AND_TOOLS, function_name=FUNCTION_NAME),
        row=_mistral_row,
        read=messages.read_chat,
        shape=_mistral_shape,
        train=Limits(max_bytes=512 * 10**6),
        validation=Limits(max_bytes=512 * 10**6),
        job_name=NameRule(64),
        suffix=".jsonl",
    ),
    Format(
        name="together-sft",
        kind=ExampleKind.DEMONSTRATION,
        description="Together supervised; answers before the last have the weight 0",
        source="docs.together.ai/docs/fine-tuning-data-preparation",
        rules=Rules(TALK_AND_TOOLS, alternates=True, function_name=FUNCTION_NAME),
        row=_weighted_row,
        read=messages.read_chat,
        shape=partial(chat_faults, ToolChat),
        train=Limits(max_bytes=100 * 10**9),
        validation=Limits(max_bytes=100 * 10**9),
        job_name=NameRule(64),
        suffix=".jsonl",
    ),
    Format(
        name="together-dpo",
        kind=ExampleKind.PREFERENCE,
        description="Together preference (DPO)",
        source="docs.together.ai/docs/fine-tuning-data-preparation",
        rules=Rules(alternates=True),
        row=preference_row,
        read=read_preference,
        shape=partial(shape_faults, TextPreference),
        train=Limits(max_bytes=100 * 10**9),
        validation=Limits(max_bytes=100 * 10**9),
        job_name=NameRule(64),
        suffix=".jsonl",
    ),
    Format(
        name="fireworks-sft",
        kind=ExampleKind.DEMONSTRATION,
        description="Fireworks supervised; answers before the last have the weight 0",
        source="docs.fireworks.ai/fine-tuning/fine-tuning-models",
        rules=Rules(TALK_AND_TOOLS, function_name=FUNCTION_NAME),
        row=_weighted_row,
        read=messages.read_chat,
        shape=partial(chat_faults, ToolChat),
        train=Limits(3, 3_000_000),
        validation=Limits(1, 3_000_000),
        suffix=".jsonl",
    ),
    Format(
        name="fireworks-dpo",
        kind=ExampleKind.PREFERENCE,
        description="Fireworks preference (DPO)",
        source="docs.fireworks.ai/fine-tuning/dpo-fine-tuning",
        rules=Rules(ends=USER_LAST),
        row=preference_row,
        read=read_preference,
        shape=partial(shape_faults, TextPreference),
        train=Limits(3, 3_000_000),
        validation=Limits(1, 3_000_000),
        suffix=".jsonl",
    ),
)
