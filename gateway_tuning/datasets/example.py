"""The provider-neutral training item that every format is written from."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ExampleKind(StrEnum):
    DEMONSTRATION = "demonstration"  # answer is how it should be done
    PREFERENCE = "preference"  # answer is preferred to rejected
    LABELLED = "labelled"  # answer was found desirable, or not


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """All texts are anonymized. `messages` ends with the user's turn that `answer` replies to.

    `rejected` is set on preferences only, `desirable` on labelled answers only. `group_id` is shared by all
    examples that must stay in one split, and reveals no user. `subject_ids` are those of the users whose feedback it was
    made of (`feedback.subjects`): by them it is found when one of them is erased.
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

    @property
    def prompt(self) -> str:
        return self.messages[-1].content
