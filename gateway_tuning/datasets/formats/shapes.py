"""The keys and types of rows that are made of chat messages, and what is told of rows that differ. Pure."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from gateway_tuning.datasets.formats.content import Fault
from gateway_tuning.datasets.formats.jsonl import Row

STRICT = ConfigDict(extra="forbid", strict=True)
ROLES = ("system", "user", "assistant", "tool")

REMEDIES = {
    "missing": "add it",
    "extra_forbidden": "remove it: the format does not know it",
    "string_type": "write a text",
    "list_type": "write a list",
    "dict_type": "write an object",
    "model_type": "write an object",
    "bool_type": "write true or false",
    "union_tag_not_found": "give the message a role",
    "union_tag_invalid": "use one of the roles that are named",
    "literal_error": "use one of the values that are named",
    "too_short": "add what is missing",
    "too_long": "take out what is too much",
}


def _zero_or_one(value: object) -> object:
    """In Python and to pydantic's literals, true is 1; to a provider it is not."""
    if value is not None and (isinstance(value, bool) or value not in (0, 1)):
        raise PydanticCustomError("literal_error", "should be 0 or 1")
    return value


Weight = Annotated[int, BeforeValidator(_zero_or_one)]


class Function(BaseModel):
    model_config = STRICT

    name: str
    arguments: str


class Call(BaseModel):
    model_config = STRICT

    id: str
    type: Literal["function"]
    function: Function


class SystemMessage(BaseModel):
    model_config = STRICT

    role: Literal["system"]
    content: str
    name: str | None = None


class UserMessage(BaseModel):
    model_config = STRICT

    role: Literal["user"]
    content: str
    name: str | None = None


class AssistantMessage(BaseModel):
    model_config = STRICT

    role: Literal["assistant"]
    content: str | None = None
    name: str | None = None
    weight: Weight | None = None
    tool_calls: Annotated[list[Call], Field(min_length=1)] | None = None


class ToolMessage(BaseModel):
    model_config = STRICT

    role: Literal["tool"]
    content: str
    tool_call_id: str
    name: str | None = None


class TextMessage(BaseModel):
    """What the plainest formats take: a role and a text."""

    model_config = STRICT

    role: Literal["system", "user", "assistant"]
    content: str


class Answer(BaseModel):
    model_config = STRICT

    role: Literal["assistant"]
    content: str


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]
Messages = Annotated[list[Message], Field(min_length=1)]
OneAnswer = Annotated[list[Answer], Field(min_length=1, max_length=1)]
Tools = list[dict[str, Any]]


class ToolChat(BaseModel):
    model_config = STRICT

    messages: Messages
    tools: Tools | None = None


class TextPrompt(BaseModel):
    model_config = STRICT

    messages: Annotated[list[TextMessage], Field(min_length=1)]


class TextPreference(BaseModel):
    """Exactly one assistant's message on either side, text alone."""

    model_config = STRICT

    input: TextPrompt
    preferred_output: OneAnswer
    non_preferred_output: OneAnswer


def shape_faults(model: type[BaseModel], row: Row) -> Iterator[Fault]:
    try:
        model.model_validate(row)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            yield Fault(_reason(item["type"], item["msg"]), _remedy(item["type"]), _place(item["loc"]))


def chat_faults(model: type[BaseModel], row: Row) -> Iterator[Fault]:
    """As `shape_faults`, of a chat that is to be learned: `messages` with an answer at the end."""
    found = list(shape_faults(model, row))
    yield from found
    if found:
        return
    messages = row["messages"]
    if messages[-1]["role"] != "assistant":
        yield Fault("the last message is not the assistant's", "end with the answer to be learned")
    elif all(message.get("weight") == 0 for message in messages if message["role"] == "assistant"):
        yield Fault("every answer has the weight 0", "give the answer to be learned the weight 1")


def _reason(kind: str, told: str) -> str:
    plain = told.removeprefix("Input ")
    return {"missing": "missing", "extra_forbidden": "unknown key"}.get(kind, plain[:1].lower() + plain[1:])


def _remedy(kind: str) -> str:
    return REMEDIES.get(kind, "correct the value")


def _place(location: tuple[int | str, ...]) -> str:
    """`messages[1].content`; the names of roles that pydantic puts in between are left out."""
    place, before = "", None
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not (isinstance(before, int) and part in ROLES):
            place += f".{part}" if place else part
        before = part
    return place
