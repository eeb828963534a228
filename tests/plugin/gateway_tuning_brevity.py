"""A scorer from outside: short answers are good."""

from collections.abc import Sequence

from gateway_tuning.evaluation.scoring.protocol import Item, Score, ScorerCard
from gateway_tuning.evaluation.settings import EvaluationSettings


class Brevity:
    version = "1"
    card = ScorerCard(
        name="brevity",
        label="Brevity",
        formula="1 / (1 + words / most tokens allowed)",
        source="own",
        low=0.0,
        high=1.0,
        higher_is_better=True,
        failed=0.0,
    )

    def __init__(self, most: int) -> None:
        self._most = most

    def score(self, items: Sequence[Item]) -> list[Score]:
        return [Score(1 / (1 + len(item.answer.split()) / self._most)) for item in items]


def build(settings: EvaluationSettings) -> Brevity:
    return Brevity(settings.max_tokens)
