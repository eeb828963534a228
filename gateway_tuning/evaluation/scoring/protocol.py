"""What a scorer is: one number for an answer, and what it was seen by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway_tuning.datasets.example import Turn

LEXICAL = "_lexical"
"""Ends the name of a metric that sees letters, and stands in for one by meaning where the sentence model is missing."""


@dataclass(frozen=True, slots=True)
class Item:
    """One answer as scorers see it. `prompt` is what the user asked last, `messages` everything before the answer.

    `reference` is the preferred answer, None where there is none. `context` is what the answer may rely on beside
    the reference: system prompt and results of tools, None without any.
    """

    prompt: str
    answer: str
    reference: str | None
    context: str | None = None
    messages: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """`value` is None where the metric does not apply or cannot be known; `notes` say why, or list the evidence."""

    value: float | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScorerCard:
    """What a reader must know of a metric. `low` and `high` bound its values, None where nothing does.

    `failed` is the value of an answer that did not come; None: failures say nothing about this metric.
    `applies_by_question`: where an empty answer has no value no other one has, so a failure has none either.
    """

    name: str
    label: str
    formula: str
    source: str
    low: float | None
    high: float | None
    higher_is_better: bool
    failed: float | None
    needs_reference: bool = False
    applies_by_question: bool = False


class Scorer(Protocol):
    """Deterministic and without network. `version` changes whenever values may."""

    @property
    def card(self) -> ScorerCard: ...

    @property
    def version(self) -> str: ...

    def score(self, items: Sequence[Item]) -> list[Score]:
        """One score an item, in order."""
        ...
