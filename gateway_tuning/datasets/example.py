"""The provider-neutral training item that every format is written from."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ExampleKind(StrEnum):
    DEMONSTRATION = "demonstration"  # answer is how it should be done
    PREFERENCE = "preference"  # answer is preferred to rejected
    LABELLED = "labelled"  # answer was found desirable, or not


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str  # JSON text


@dataclass(frozen=True, slots=True)
class Turn:
    """`content` may be empty where the assistant calls tools; `tool_call_id` says which call a tool's turn answers."""

    role: str  # system, user, assistant, tool
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """All texts are anonymized. `answer` replies to `messages`; after the user's last turn only tools have theirs.

    `rejected` is set on preferences only, `desirable` on labelled answers only. `group_id` is shared by all
    examples that must stay in one split, and reveals no user. `subject_ids` are those of the users whose feedback it was
    made of (`feedback.subjects`): by them it is found when one of them is erased. `tools` are definitions that the model
    may call, each the JSON text of an OpenAI `tools` item. `confidence`, in (0, 1], is set where a preference was
    inferred and not stated (`datasets.reformulations`). `augmented_from` names the example whose prompt was varied, and
    `augmented_by` what varied it.
    """

    id: str
    kind: ExampleKind
    messages: tuple[Turn, ...]
    answer: str
    rejected: str | None
    desirable: bool | None
    feedback_ids: tuple[str, ...]
    feedback_types: tuple[str, ...]
    last_feedback_at: datetime
    group_id: str
    split: str
    subject_ids: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    confidence: float | None = None
    augmented_from: str | None = None
    augmented_by: str | None = None

    @property
    def prompt(self) -> str:
        """What the user asked last."""
        return next(turn.content for turn in reversed(self.messages) if turn.role == "user")
