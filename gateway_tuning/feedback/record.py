"""The feedback record: one person's (or evaluator's) statement on one answer."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class FeedbackType(StrEnum):
    THUMBS_UP = "thumbs_up"
    THUMBS_DOWN = "thumbs_down"
    TEXT = "text"
    CORRECTION = "correction"
    REFORMULATION = "reformulation"
    AUTOMATIC_EVALUATION = "automatic_evaluation"


class ToolCall(BaseModel):
    """The model's wish to call a tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=200)
    arguments: str = Field(description="JSON text, as the model wrote it")


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant", "tool"]
    content: str = Field(description="May be empty where the assistant calls tools")
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = Field(None, description="Of a tool's turn: the call that it answers")


class RequestContext(BaseModel):
    """How the answer was produced. Unknown figures are None, never 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_id: str | None = None
    client_application: str | None = None
    parameters: dict[str, str] = {}
    prompt_tokens: int | None = Field(None, ge=0)
    response_tokens: int | None = Field(None, ge=0)
    processing_time_ms: float | None = Field(None, ge=0, allow_inf_nan=False)


class FeedbackRecord(BaseModel):
    """Shape and types only; what makes a record usable is judged by `feedback.validation`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=200)
    tenant: str = Field("default", min_length=1, max_length=100)
    user_id: str | None = None
    type: FeedbackType
    prompt: str
    response: str
    corrected_response: str | None = None
    reformulated_prompt: str | None = Field(None, description="What the user asked next, in other words")
    reformulated_response: str | None = Field(None, description="The answer that the second wording got")
    comment: str | None = Field(None, description="Free text on the answer")
    satisfaction_score: float | None = Field(None, description="-1 (bad) to 1 (good)")
    metadata: dict[str, str] = {}
    user_segment: str | None = None
    user_context: tuple[str, ...] = ()
    timestamp: datetime = Field(description="When the feedback was given; with a time zone")
    request: RequestContext | None = None
    conversation_id: str | None = None
    system_prompt: str | None = None
    history: tuple[Message, ...] = Field((), description="Turns before the prompt, oldest first")
    turns: tuple[Message, ...] | None = Field(
        None,
        description="Turns between the prompt and the answer: calls of tools and what they gave, oldest first",
    )
    tools: tuple[dict[str, JsonValue], ...] | None = Field(
        None, description="Tools that the model could call, as OpenAI's chat API has them"
    )
    model_version: str | None = Field(None, description="Version that gave the answer")
    deployment: str | None = Field(None, description="Deployment or arm that gave the answer")
    answer_id: str | None = Field(None, description="The gateway's id of the answer")
    revision: int | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="The sender's count of statements under this id: at equal times the higher wins",
    )
    rating_token: str | None = Field(
        None,
        max_length=1000,
        description="What the gateway signed for this answer and user: x-gateway-rating-token",
    )
