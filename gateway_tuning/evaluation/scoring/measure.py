"""A scorer out of a function of one item. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway_tuning.evaluation.scoring.protocol import Item, Score, ScorerCard

NO_REFERENCE = Score(None, ("There is no preferred answer to compare with",))


@dataclass(frozen=True, slots=True)
class Measure:
    """Items do not know of each other: a score is the same in any company."""

    card: ScorerCard
    version: str
    of: Callable[[Item], Score]

    def score(self, items: Sequence[Item]) -> list[Score]:
        return [self.of(item) for item in items]


def against_reference(value: Callable[[str, str], float]) -> Callable[[Item], Score]:
    """`value` is asked for answer and preferred answer; without one the score is unknown."""

    def of(item: Item) -> Score:
        return NO_REFERENCE if item.reference is None else Score(value(item.answer, item.reference))

    return of


def share_card(
    name: str,
    label: str,
    formula: str,
    source: str,
    *,
    failed: float | None = 0.0,
    needs_reference: bool = True,
    applies_by_question: bool = True,
) -> ScorerCard:
    """A card of a metric from 0 to 1 of which more is better."""
    return ScorerCard(
        name=name,
        label=label,
        formula=formula,
        source=source,
        low=0.0,
        high=1.0,
        higher_is_better=True,
        failed=failed,
        needs_reference=needs_reference,
        applies_by_question=applies_by_question,
    )
