"""From what a judge said to the metric `judge_preference`. Pure."""

from collections.abc import Sequence

from gateway_tuning.evaluation.judging.asking.prompt import is_shown_in_part
from gateway_tuning.evaluation.judging.measures import PositionBias, Share
from gateway_tuning.evaluation.judging.pairs import without_judge
from gateway_tuning.evaluation.judging.verdict import Outcome, Verdict
from gateway_tuning.evaluation.scored import Role, ScoredExample
from gateway_tuning.evaluation.scoring.protocol import Score, ScorerCard

METRIC = "judge_preference"
MAX_FAILED = 0.1  # share of the pairs asked about above which nothing is known
CARD = ScorerCard(
    name=METRIC,
    label="Judge's preference",
    formula="1 where the judge prefers this answer in both orders, 0 where the other one, 0.5 where neither",
    source="Zheng et al. 2023, arXiv:2306.05685: both orders, and a win only where they agree",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    failed=0.0,
)
_SAID = {Verdict.FIRST: "better", Verdict.SECOND: "worse", Verdict.TIE: "as good"}
_SECOND = {Verdict.FIRST: "worse", Verdict.SECOND: "better", Verdict.TIE: "as good"}


def fault(outcomes: Sequence[Outcome], gave_up: str | None) -> str | None:
    """Why nothing may be concluded from these pairs; None where it may."""
    asked = [each for each in outcomes if each.was_asked]
    failed = [each for each in asked if each.preference is None]
    if gave_up is not None and len(asked) < len(outcomes):
        return f"the judge was given up: {gave_up}"
    if len(failed) > MAX_FAILED * len(asked):
        reason = next(failed[0].failures).reason
        return f"the judge gave no verdict on {len(failed)} of {len(asked)} pairs, the first: {reason}"
    return None


def begun(outcomes: Sequence[Outcome]) -> int:
    """How many pairs come before the first one that was not asked about."""
    return next((number for number, each in enumerate(outcomes) if not each.was_asked), len(outcomes))


def answer_scores(
    examples: Sequence[ScoredExample], against: Role, outcomes: Sequence[Outcome], gave_up: str | None
) -> dict[str, Score]:
    """The candidate's, by example id, in the order of the draw.

    From the first pair on that could not be paid for nothing has a value, not even what needs no judge: what is left
    is then a draw like the whole.
    """
    unknown = fault(outcomes, gave_up)
    by_id = {each.pair.id: each for each in outcomes}
    judged = begun(outcomes)
    stop: str | None = None
    scores = {}
    for example in examples:
        outcome = by_id.get(example.example.id)
        if outcome is not None and not outcome.was_asked and stop is None:
            reason = next(outcome.failures).reason
            stop = f"not judged: {reason}; {judged} of {len(outcomes)} pairs were judged"
        if unknown or stop:
            score = Score(None, (unknown or stop or "",))
        else:
            score = _score(outcome) if outcome else without_judge(example, against) or Score(None)
        scores[example.example.id] = score
    return scores


def notes(
    on_labels: Sequence[Outcome], on_answers: Sequence[Outcome], bias: PositionBias, gave_up: str | None
) -> tuple[str, ...]:
    """For people: what was not judged, and how much the order of the answers decides."""
    said = []
    for what, outcomes in (("preferences of people", on_labels), ("pairs", on_answers)):
        unknown = fault(outcomes, gave_up)
        judged = begun(outcomes)
        if unknown:
            said.append(f"Nothing is concluded from the {what}: {unknown}")
        elif judged < len(outcomes):
            reason = next(outcomes[judged].failures).reason
            said.append(f"{judged} of {len(outcomes)} {what} were judged: {reason}")
    if bias.first.value is not None:
        said.append(f"Of the decided judgements {_told(bias.first)} prefer what was shown first")
    if bias.contradicted.value is not None:
        said.append(f"In {_told(bias.contradicted)} of the pairs the verdict changed with the order")
    return tuple(said)


def _score(outcome: Outcome) -> Score:
    if outcome.judgements is None:
        return Score(None, tuple(dict.fromkeys(each.reason for each in outcome.failures)))
    first, second = outcome.judgements
    said = [f"shown first, {_SAID[first.verdict]}: {first.reason}"]
    said.append(f"shown second, {_SECOND[second.verdict]}: {second.reason}")
    if any(is_shown_in_part(question) for question in outcome.pair.questions[:1]):
        said.append("the judge saw a part of the texts, which are too long")
    return Score(outcome.preference, tuple(said))


def _told(share: Share) -> str:
    value = f"{100 * (share.value or 0):.0f} %"
    if share.low is None or share.high is None:
        return value
    return f"{value} ({100 * share.low:.0f} to {100 * share.high:.0f} %)"
