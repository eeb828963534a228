"""What is compared: the rows of one stretch of time, or of one dataset."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Window:
    """Parallel sequences, one entry a row. Rows of one group (a user, a conversation) are not independent.

    `prompts`, `answers` and `feedback_types` are None where they are not known at all (live traffic of which only
    figures are kept); their columns are then no part of the check. `numbers` and `categories` are further columns by
    name, None for a row of which the value is not known. What stands there under the name of a column that would be
    derived from the texts (`prompt_length`, `answer_length`, `language`, `refusal`) is used instead of it.
    """

    label: str
    prompts: Sequence[str] | None
    answers: Sequence[str] | None
    feedback_types: Sequence[str] | None
    groups: Sequence[Hashable] | None = None
    numbers: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse sequences of different lengths, and a window without any column."""
        lengths = {name: len(column) for name, column in self._columns().items()}
        if not lengths:
            raise ValueError(f"Window {self.label} has no column; give texts, numbers or categories")
        if self.groups is not None:
            lengths["groups"] = len(self.groups)
        if len(set(lengths.values())) != 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"Window {self.label}: its sequences differ in length: {told}")

    @property
    def rows(self) -> int:
        return len(next(iter(self._columns().values())))

    @property
    def column_names(self) -> frozenset[str]:
        return frozenset(self._columns())

    def _columns(self) -> dict[str, Sequence[object]]:
        texts = {"prompts": self.prompts, "answers": self.answers, "feedback_types": self.feedback_types}
        given: dict[str, Sequence[object]] = {
            name: column for name, column in texts.items() if column is not None
        }
        return given | dict(self.numbers) | dict(self.categories)
