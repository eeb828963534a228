"""Preference pairs and labelled answers as JSON lines, in TRL's formats `trl-dpo` and `trl-kto`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from gateway_tuning.training.local.data.chats import Chat, Message, read_lines

_PROMPT = '{"prompt": [{"role", "content"}, ...] or text'


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt."""

    chosen: Chat
    rejected: Chat


@dataclass(frozen=True, slots=True)
class Labelled:
    chat: Chat
    desirable: bool


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)

    role: Literal["assistant"]
    content: str = Field(min_length=1)


class _PromptMessage(BaseModel):
    """Of a tool it may be, or of a call without text; such lines are left out later."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[Any] | None = None


_Text = Annotated[str, Field(min_length=1)]
_Prompt = _Text | Annotated[tuple[_PromptMessage, ...], Field(min_length=1)]
_Reply = _Text | Annotated[tuple[_Answer, ...], Field(min_length=1, max_length=1)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    prompt: _Prompt
    tools: list[Any] | None = None

    @property
    def uses_tools(self) -> bool:
        messages = () if isinstance(self.prompt, str) else self.prompt
        return bool(self.tools) or any(one.role == "tool" or one.tool_calls for one in messages)

    def chat(self, reply: "str | tuple[_Answer, ...]") -> Chat:
        if isinstance(self.prompt, str):
            before: tuple[Message, ...] = (Message(role="user", content=self.prompt),)
        else:
            before = tuple(Message.model_validate(one.model_dump()) for one in self.prompt)
        text = reply if isinstance(reply, str) else reply[0].content
        return Chat(messages=(*before, Message(role="assistant", content=text)))


class _PairLine(_Line):
    chosen: _Reply
    rejected: _Reply


class _LabelledLine(_Line):
    completion: _Reply
    label: StrictBool


def read_pairs(path: Path) -> list[Pair | None]:
    """One pair a line; None where it has tools, which the local model's template cannot show.

    Raises:
        InputFileError: the file cannot be read, or a line is not a pair. The message names the line.
    """

    def parse(line: str) -> Pair | None:
        row = _PairLine.model_validate_json(line)
        return None if row.uses_tools else Pair(row.chat(row.chosen), row.chat(row.rejected))

    return read_lines(
        path,
        parse,
        what="a preference pair",
        form=f'{_PROMPT}, "chosen": [one answer], "rejected": [one answer]}}',
    )


def read_labelled(path: Path) -> list[Labelled | None]:
    """One labelled answer a line; None where it has tools, which the local model's template cannot show.

    Raises:
        InputFileError: the file cannot be read, or a line is not a labelled answer. The message names the line.
    """

    def parse(line: str) -> Labelled | None:
        row = _LabelledLine.model_validate_json(line)
        return None if row.uses_tools else Labelled(row.chat(row.completion), row.label)

    return read_lines(
        path,
        parse,
        what="a labelled answer",
        form=f'{_PROMPT}, "completion": [one answer], "label": true or false}}',
    )
