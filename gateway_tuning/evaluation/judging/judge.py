"""A judge compares the candidate's answers with another system's, and is itself held against what people preferred."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from gateway_tuning.datasets.example import Example
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.judging.asking.asker import Asker
from gateway_tuning.evaluation.judging.asking.prompt import rubric_of
from gateway_tuning.evaluation.judging.asking.spending import Allowance, prices_of
from gateway_tuning.evaluation.judging.hearing import Hearing
from gateway_tuning.evaluation.judging.measures import agreement, position_bias
from gateway_tuning.evaluation.judging.pairs import chosen, label_pairs, pair_of, without_judge
from gateway_tuning.evaluation.judging.preferences import METRIC, answer_scores, begun, fault, notes
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.evaluation.result import JudgeSummary
from gateway_tuning.evaluation.running.asking import open_client
from gateway_tuning.evaluation.running.pacing import Pace
from gateway_tuning.evaluation.scored import Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import Score
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Judging:
    """`preferences` are the candidate's scores by example id; `notes` say in words what a reader must know of them."""

    summary: JudgeSummary
    against: Role
    preferences: Mapping[str, Score]
    notes: tuple[str, ...]


async def judge(
    scored: Sequence[ScoredExample],
    labels: Iterable[Example],
    settings: EvaluationSettings,
    store: JudgementStore,
    *,
    now: datetime,
    against: Role = Role.STABLE,
) -> Judging:
    """Ask `settings.judge` about `max_pairs` examples at most, and as many of the preferences that people stated.

    `labels` are examples of the same dataset; `human_labels` picks those that count. They are asked about first: a
    judge that was not held against people decides nothing. The cap is for both together, and for what an earlier run
    paid for the same judgements. Run again after a kill, it asks only for what it had not stored.

    Raises:
        ConfigurationError: no judge is set, its key is not, there is a cap without prices, or a rubric that is too long.
        MissingExtraError: the openai package is not installed.
        ErasedError: the dataset was retired meanwhile.
    """
    if settings.judge is None:
        raise ConfigurationError("The evaluation has no judge; set `judge` with its base_url and model")
    most = settings.judge.max_pairs
    rubric, prices = rubric_of(settings.judge), prices_of(settings.judge)
    cap = None if settings.judge.max_cost is None else Decimal(str(settings.judge.max_cost))
    allowance, pace = Allowance(cap), Pace(settings.concurrency)
    examples = chosen(scored, against, most=most, seed=settings.seed)
    pairs = [pair_of(each, against) for each in examples if without_judge(each, against) is None]
    endpoint = Endpoint(settings.judge.base_url, settings.judge.model, api_key_env=settings.judge.api_key_env)
    async with open_client(endpoint, settings.timeout_s) as client:
        asker = Asker(
            client,
            settings.judge,
            allowance,
            prices,
            pace,
            rubric=rubric,
            timeout_s=settings.timeout_s,
            seed=settings.seed,
        )
        hearing = Hearing(
            asker,
            store,
            settings.judge,
            allowance,
            prices,
            rubric=rubric,
            concurrency=settings.concurrency,
            now=now,
        )
        on_labels = await hearing.hear(label_pairs(labels, most=most, seed=settings.seed))
        on_answers = await hearing.hear(pairs)
    # What is left after the cap was reached is a fixed part of the draw; what is left after failures is not.
    known = () if fault(on_labels, asker.gave_up) else on_labels[: begun(on_labels)]
    shared = agreement(known, level=settings.level)
    bias = position_bias(on_answers, level=settings.level)
    summary = JudgeSummary(
        model=settings.judge.model,
        pairs=sum(each.was_asked for each in on_answers),
        failed=sum(each.preference is None and each.was_asked for each in on_answers),
        first_share=bias.first.value,
        contradicted=bias.contradicted.value,
        agreement=shared.value,
        agreement_low=shared.low,
        agreement_high=shared.high,
        labels=shared.trials,
        requests=asker.requests,
        cached=hearing.cached,
        spent=float(allowance.spent) if prices else None,
        currency=settings.judge.currency if prices else None,
        first_low=bias.first.low,
        first_high=bias.first.high,
    )
    return Judging(
        summary,
        against,
        preferences=answer_scores(examples, against, on_answers, asker.gave_up),
        notes=notes(on_labels, on_answers, bias, asker.gave_up),
    )


def with_preferences(scored: Sequence[ScoredExample], judging: Judging) -> list[ScoredExample]:
    """The same examples with the metric `judge_preference`, for the candidate and for the system it was held against."""
    out = []
    for each in scored:
        ours = judging.preferences.get(
            each.example.id, Score(None, ("not among the examples for the judge",))
        )
        theirs = ours if ours.value is None else replace(ours, value=1 - ours.value)
        added = {Role.CANDIDATE: ours, judging.against: theirs}
        scores = {
            role: {**known, METRIC: added[role]} if role in added else known
            for role, known in each.scores.items()
        }
        out.append(replace(each, scores=scores))
    return out
