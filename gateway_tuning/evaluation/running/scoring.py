"""Every answer by every scorer. A scorer that breaks leaves its metric unknown, and the others stand."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway_tuning.datasets.example import Example
from gateway_tuning.evaluation.judging import preferences
from gateway_tuning.evaluation.measures import MEASURES
from gateway_tuning.evaluation.running import probing
from gateway_tuning.evaluation.scored import Answer, Role
from gateway_tuning.evaluation.scoring.protocol import Item, Score, Scorer, ScorerCard
from gateway_tuning.evaluation.settings import EvaluationSettings

BATCH = 256
_LONGEST_REASON = 300

Answered = tuple[Example, Mapping[Role, Answer]]


@dataclass(frozen=True, slots=True)
class Scores:
    """`values` of each example by role and metric. `unmeasured` says why a metric has none at all."""

    values: tuple[dict[Role, dict[str, Score]], ...]
    unmeasured: dict[str, str]


def scorers_of(settings: EvaluationSettings) -> list[Scorer]:
    """Those of the settings or the default ones, and that of the primary metric in any case.

    Raises:
        ConfigurationError: there is no such scorer.
    """
    from gateway_tuning.evaluation.scoring import catalog

    names = list(settings.metrics or catalog.DEFAULT)
    if settings.primary not in {*names, *MEASURES, preferences.METRIC, probing.METRIC}:
        names.append(settings.primary)
    found = [catalog.scorer(name, settings) for name in names]
    return list({scorer.card.name: scorer for scorer in found}.values())


def score_all(answered: Sequence[Answered], scorers: Sequence[Scorer]) -> Scores:
    """Equal items are scored once, and no scorer is told from whom they came.

    An answer that did not come has the value that the metric's card gives to failures, and none on examples that the
    metric does not apply to. That the question tells, where the card says so, and the answers of the others: where
    all that came have no value, it does not apply.
    """
    items = [
        {role: item_of(example, answer.text or "") for role, answer in answers.items()}
        for example, answers in answered
    ]
    pairs = [
        (item, answers[role].text is not None)
        for (_, answers), its_items in zip(answered, items, strict=True)
        for role, item in its_items.items()
    ]
    came = list(dict.fromkeys(item for item, has_come in pairs if has_come))
    every = list(dict.fromkeys(item for item, _ in pairs))
    tables: dict[str, dict[Item, Score]] = {}
    unmeasured: dict[str, str] = {}
    for scorer in scorers:
        name, asked = scorer.card.name, every if scorer.card.applies_by_question else came
        try:
            tables[name] = dict(zip(asked, _scored(scorer, asked), strict=True))
        except Exception as error:  # noqa: BLE001 - scorers are other people's code too
            unmeasured[name] = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]

    def score(
        role: Role, answers: Mapping[Role, Answer], its_items: Mapping[Role, Item], card: ScorerCard
    ) -> Score:
        if card.name in unmeasured:
            return Score(None, (unmeasured[card.name],))
        table, answer = tables[card.name], answers[role]
        if answer.text is not None:
            return table[its_items[role]]
        others = [table[its_items[other]] for other, its in answers.items() if its.text is not None]
        return _of_failure(answer.error, card, table.get(its_items[role]), others)

    values = tuple(
        {
            role: {scorer.card.name: score(role, answers, its_items, scorer.card) for scorer in scorers}
            for role in answers
        }
        for (_, answers), its_items in zip(answered, items, strict=True)
    )
    return Scores(values, unmeasured)


def _of_failure(error: str | None, card: ScorerCard, empty: Score | None, others: Sequence[Score]) -> Score:
    """`empty` is the score of an answer without a text, `others` those of the answers that came to the same question."""
    told = f"no answer came: {error}"
    if card.applies_by_question and empty is not None and empty.value is None:
        return Score(None, (told, *empty.notes))
    if others and all(one.value is None for one in others):
        return Score(None, (told, "no answer that came has a value"))
    return Score(card.failed, (told,))


def item_of(example: Example, answer: str) -> Item:
    """Its context is what the system's prompt and tools said."""
    context = [turn.content for turn in example.messages if turn.role in {"system", "tool"} and turn.content]
    return Item(
        prompt=example.prompt,
        answer=answer,
        reference=example.answer,
        context="\n\n".join(context) or None,
        messages=example.messages,
    )


def _scored(scorer: Scorer, items: Sequence[Item]) -> Iterator[Score]:
    """Raises ValueError where the scorer does not keep to its card."""
    card = scorer.card
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        scores = scorer.score(batch)
        if len(scores) != len(batch):
            raise ValueError(f"it gave {len(scores)} scores for {len(batch)} answers")
        for score in scores:
            if not _is_within(score.value, card):
                raise ValueError(f"its value {score.value} is outside of {card.low} to {card.high}")
        yield from scores


def _is_within(value: float | None, card: ScorerCard) -> bool:
    if value is None:
        return True
    low = -math.inf if card.low is None else card.low
    high = math.inf if card.high is None else card.high
    return math.isfinite(value) and low <= value <= high
