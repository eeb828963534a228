"""Chat JSONL of the local trainer: `{"messages": [..., {"role": "assistant", "content": ...}]}`. Pure."""

from functools import partial

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.datasets.formats import messages
from gateway_tuning.datasets.formats.content import Content, Rules
from gateway_tuning.datasets.formats.format import Format
from gateway_tuning.datasets.formats.jsonl import Row
from gateway_tuning.datasets.formats.shapes import TextPrompt, chat_faults


def _row(content: Content) -> Row:
    return {"messages": messages.chat(content)}


CHAT = Format(
    name="chat",
    kind=ExampleKind.DEMONSTRATION,
    description="The local trainer",
    source="gateway_tuning/training/local/data/chats.py",
    rules=Rules(system_first=False),
    row=_row,
    read=messages.read_chat,
    shape=partial(chat_faults, TextPrompt),
)
FORMATS = (CHAT,)
