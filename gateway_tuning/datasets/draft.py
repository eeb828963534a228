"""An example before it has a group and a split, and the records behind it without their texts. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from gateway_tuning.datasets.example import ExampleKind, Turn
from gateway_tuning.feedback.record import FeedbackType


@dataclass(frozen=True, slots=True)
class Source:
    """`subject` and `conversation` are hidden behind the tenant's key; None where they are unknown."""

    tenant: str
    feedback_id: str
    type: FeedbackType
    at: datetime
    subject: str | None
    conversation: str | None

    @property
    def key(self) -> str:
        return f"{self.tenant}\x1f{self.feedback_id}"


@dataclass(frozen=True, slots=True)
class Context:
    """All that the model saw before it answered. `tools` are JSON texts."""

    messages: tuple[Turn, ...]
    tools: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        return last_user_text(self.messages)


@dataclass(slots=True)
class Draft:
    """`confidence` is set where the example was inferred and not stated; `corrected` where a person wrote the answer."""

    kind: ExampleKind
    context: Context
    answer: str
    rejected: str | None = None
    desirable: bool | None = None
    confidence: float | None = None
    corrected: bool = False
    sources: list[Source] = field(default_factory=list)
    _id: str = field(default="", init=False, repr=False, compare=False)

    @property
    def id(self) -> str:
        """Made of what the example says; asked for many times."""
        if not self._id:
            self._id = self._digest()
        return self._id

    def _digest(self) -> str:
        parts = [self.kind.value, repr(self.desirable), self.answer, self.rejected or ""]
        parts += [part for turn in self.context.messages for part in _parts(turn)]
        # A tool's JSON begins with a brace and no turn does, so that the two are told apart.
        parts += self.context.tools
        return sha256("\x1e".join(parts).encode()).hexdigest()[:24]

    @property
    def last_feedback_at(self) -> datetime:
        return max(source.at for source in self.sources)

    def join(self, other: "Draft") -> None:
        """Take in what stands behind an equal example. What somebody stated needs no inference."""
        self.corrected |= other.corrected
        known = {source.key for source in self.sources}
        self.sources += [source for source in other.sources if source.key not in known]
        if self.confidence is None or other.confidence is None:
            self.confidence = None
        else:
            self.confidence = max(self.confidence, other.confidence)


def joined(drafts: Iterable[Draft]) -> list[Draft]:
    """Equal examples as one, ordered by id; the sources of each by their keys."""
    by_id: dict[str, Draft] = {}
    for draft in drafts:
        if draft.id in by_id:
            by_id[draft.id].join(draft)
        else:
            by_id[draft.id] = draft
    for draft in by_id.values():
        draft.sources.sort(key=lambda source: source.key)
    return [by_id[id_] for id_ in sorted(by_id)]


def last_user_text(messages: tuple[Turn, ...]) -> str:
    return next(turn.content for turn in reversed(messages) if turn.role == "user")


def _parts(turn: Turn) -> Iterator[str]:
    yield f"{turn.role}\x1f{turn.content}"
    if turn.tool_call_id is not None:
        yield f"answers\x1f{turn.tool_call_id}"
    for call in turn.tool_calls:
        yield f"calls\x1f{call.id}\x1f{call.name}\x1f{call.arguments}"
