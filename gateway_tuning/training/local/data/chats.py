"""Chats as JSON lines, and the one template by which they become text, in training and in serving.

The base model's own template inserts a system prompt that names its maker where a chat has none. Training and
serving must agree on what stands there, so both use this template: `server.py` hands it to the server.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, Self, TypeVar

import jinja2
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway_tuning.errors import InputFileError

DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."
END_OF_TURN = "<|im_end|>"
CONTROL_WORDS = ("<|im_start|>", END_OF_TURN, "<|endoftext|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\\n" + DEFAULT_SYSTEM_PROMPT + "<|im_end|>\\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

Line = TypeVar("Line")


class Message(BaseModel):
    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class Chat(BaseModel):
    """One training example: the last message is the answer to be learned, all before it is the prompt."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _ends_with_the_answer(self) -> Self:
        if self.messages[-1].role != "assistant":
            raise ValueError("the last message must be the assistant's answer")
        return self

    @property
    def answer(self) -> str:
        return self.messages[-1].content


def prompt_text(chat: Chat) -> str:
    """The text the model sees before it answers."""
    messages = [message.model_dump() for message in chat.messages[:-1]]
    return _template().render(messages=messages, add_generation_prompt=True)


def has_control_words(chat: Chat, words: Sequence[str] = CONTROL_WORDS) -> bool:
    """Text that the tokenizer would read as the border of a turn; such a chat could teach a forged turn."""
    return any(word in message.content for message in chat.messages for word in words)


def read_chats(path: Path) -> list[Chat]:
    """Read one chat a line; empty lines are skipped.

    Raises:
        InputFileError: the file cannot be read, or a line is not a chat. The message names the line.
    """
    form = '{"messages": [{"role", "content"}, ...]} and end with the assistant'
    return read_lines(path, Chat.model_validate_json, what="a chat", form=form)


def read_lines(path: Path, parse: Callable[[str], Line], *, what: str, form: str) -> list[Line]:
    """What `parse` makes of each line that is not empty.

    Raises:
        InputFileError: the file cannot be read, or `parse` refuses a line. The message names the line, never its text.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path} cannot be read as UTF-8 text: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(parse(line))
        except ValidationError as error:
            reason = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise InputFileError(
                f"{path.name} line {number} is not {what} ({reason}). Each line must be {form}"
            ) from None
    return found


@cache
def _template() -> jinja2.Template:
    return jinja2.Environment(autoescape=False).from_string(CHAT_TEMPLATE)  # noqa: S701 - text for a model, not HTML
