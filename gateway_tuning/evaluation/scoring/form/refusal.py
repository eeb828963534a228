"""Does an answer decline? By the same markers that leave refusals out of a dataset. Pure."""

from gateway_tuning.datasets.quality.markers import refusal
from gateway_tuning.evaluation.scoring.measure import Measure
from gateway_tuning.evaluation.scoring.protocol import Item, Score, ScorerCard


def refuses(item: Item) -> Score:
    if item.reference is not None and refusal(item.reference) is not None:
        return Score(None, ("The preferred answer declines too",))
    found = refusal(item.answer)
    return Score(0.0) if found is None else Score(1.0, (found,))


REFUSAL = Measure(
    ScorerCard(
        name="refusal",
        label="Refusals",
        formula="1 where the answer declines in its first sentences, else 0; not where the preferred answer declines. "
        "Known in English, German, French and Spanish",
        source="own; the markers of datasets/quality/markers.py",
        low=0.0,
        high=1.0,
        higher_is_better=False,
        failed=None,
        applies_by_question=True,
    ),
    "1",
    refuses,
)
