"""One metric of the candidate against another system."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from gateway_tuning.evaluation.measures import MEASURES, measure
from gateway_tuning.evaluation.result import Comparison
from gateway_tuning.evaluation.scored import Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.statistics import paired_bootstrap
from gateway_tuning.evaluation.statistics.multiplicity import holm
from gateway_tuning.evaluation.statistics.permutation import mcnemar, paired_permutation
from gateway_tuning.evaluation.statistics.power import detectable_difference


def value_of(one: ScoredExample, role: Role, card: ScorerCard) -> float | None:
    """None where there is none; of an answer that did not come what `scoring.score_all` made of that."""
    if card.name in MEASURES:
        answer = one.answers.get(role)
        return None if answer is None else measure(card.name, answer)
    score = one.scores.get(role, {}).get(card.name)
    return None if score is None else score.value


def compare_all(
    scored: Sequence[ScoredExample],
    cards: Mapping[str, ScorerCard],
    against: Role,
    settings: EvaluationSettings,
) -> list[Comparison]:
    """Every metric against one system, the p-values adjusted over all of them."""
    found = [compare(scored, card, against, settings) for card in cards.values()]
    adjusted = holm([one.p_value for one in found])
    return [replace(one, p_adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def compare(
    scored: Sequence[ScoredExample],
    card: ScorerCard,
    against: Role,
    settings: EvaluationSettings,
    *,
    tested: bool = True,
) -> Comparison:
    """`p_adjusted` is left to `compare_all`. Without `tested` there is an interval and no p-value."""
    ours: list[float] = []
    theirs: list[float] = []
    groups: list[Hashable] = []
    for one in scored:
        mine, other = value_of(one, Role.CANDIDATE, card), value_of(one, against, card)
        if mine is not None and other is not None:
            ours.append(mine)
            theirs.append(other)
            groups.append(one.example.group_id)
    difference = paired_bootstrap(
        ours,
        theirs,
        clusters=groups,
        level=settings.level,
        resamples=settings.resamples,
        seed=settings.seed,
        span=None if card.low is None or card.high is None else card.high - card.low,
    )
    name, p_value = _test(ours, theirs, groups, settings) if tested else ("none", None)
    return Comparison(
        metric=card.name,
        against=against,
        difference=difference,
        missing=len(scored) - len(ours),
        p_value=p_value,
        p_adjusted=None,
        test=name,
        detectable=detectable_difference(ours, theirs, clusters=groups, level=settings.level),
    )


def _test(
    ours: Sequence[float], theirs: Sequence[float], groups: Sequence[Hashable], settings: EvaluationSettings
) -> tuple[Literal["paired permutation", "McNemar", "none"], float | None]:
    binary = set(ours) | set(theirs) <= {0, 1}
    test = mcnemar if binary else paired_permutation
    p_value = test(ours, theirs, clusters=groups, resamples=settings.resamples, seed=settings.seed)
    if p_value is None:
        return "none", None
    return ("McNemar" if binary else "paired permutation"), p_value
