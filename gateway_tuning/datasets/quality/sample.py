"""What quality is judged on: an example's texts, and how good it was found to be. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway_tuning.datasets.draft import Draft
from gateway_tuning.datasets.example import ExampleKind, Turn

SYSTEM = "system"


class Rating(NamedTuple):
    """The larger, the better: written by a human, then agreed on by more raters, then newer."""

    corrected: bool
    raters: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Sample:
    """`turns` are those around the prompt, of user, assistant and tools; the operator's system prompt is not judged."""

    id: str
    kind: ExampleKind
    turns: tuple[str, ...]
    prompt: str
    answer: str
    rejected: str | None
    desirable: bool | None
    rating: Rating

    @property
    def is_target(self) -> bool:
        """Whether a model is to answer like this; a labelled answer that was found bad is a warning."""
        return self.desirable is not False

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.turns, self.prompt, self.answer, *(() if self.rejected is None else (self.rejected,)))


def sample_of(draft: Draft) -> Sample:
    """`draft` has at least one source, as every selected one does."""
    spoken = [turn for turn in draft.context.messages if turn.role != SYSTEM]
    asked = max(at for at, turn in enumerate(spoken) if turn.role == "user")
    raters = {(source.tenant, source.subject or source.feedback_id) for source in draft.sources}
    return Sample(
        id=draft.id,
        kind=draft.kind,
        turns=tuple(turn.content for at, turn in enumerate(spoken) if at != asked),
        prompt=spoken[asked].content,
        answer=draft.answer,
        rejected=draft.rejected,
        desirable=draft.desirable,
        rating=Rating(draft.corrected, len(raters), draft.last_feedback_at),
    )


def conversation(messages: Sequence[Turn]) -> str:
    """The whole context of an answer as one text, to be signed: "yes" means something else in each conversation."""
    return "\n".join(part for turn in messages for part in _said(turn))


def _said(turn: Turn) -> Iterator[str]:
    yield turn.content
    for call in turn.tool_calls:
        yield f"{call.name} {call.arguments}"
