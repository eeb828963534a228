"""What a comparison says of the candidate, and the sentence on top of the report. Pure."""

from dataclasses import dataclass
from typing import Literal

from gateway_tuning.evaluation.judging.trust import trust
from gateway_tuning.evaluation.reporting.figures import digits_of, figure, interval, percent, signed
from gateway_tuning.evaluation.reporting.forest import Tone
from gateway_tuning.evaluation.result import Comparison, EvaluationResult
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.scoring.protocol import ScorerCard
from gateway_tuning.evaluation.statistics import Difference
from gateway_tuning.rollout.gate import GateDecision, GateOutcome

Finding = Literal["better", "worse", "equal", "undecided", "unknown"]

TONES: dict[Finding, Tone] = {"better": "good", "worse": "bad", "equal": "", "undecided": "", "unknown": ""}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tone` is a CSS class: good, bad, note."""

    sentence: str
    tone: str


def finding_of(difference: Difference, card: ScorerCard) -> Finding:
    """By the interval, in the direction in which the metric is good."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "unknown"
    if low == high == 0:
        return "equal"
    if low > 0:
        return "better" if card.higher_is_better else "worse"
    if high < 0:
        return "worse" if card.higher_is_better else "better"
    return "undecided"


def survives(comparison: Comparison) -> bool:
    """Whether a difference stands when all metrics are looked at together; False where that is not known."""
    return comparison.p_adjusted is not None and comparison.p_adjusted <= 1 - comparison.difference.level


def verdict(result: EvaluationResult, gate: GateDecision | None = None) -> Verdict:
    """One sentence, for someone who reads nothing else. With a decision of the gate, that decides the tone."""
    if result.state == "no_data":
        return Verdict("Nothing was evaluated, so nothing is known of the candidate.", "note")
    if result.state == "invalid":
        return Verdict("The comparison is invalid: nothing may be concluded from it.", "bad")
    sentence, tone = _compared(result)
    worse = _worse(result)
    if worse:
        sentence += f"; it is worse in {' and in '.join(worse)}"
    if gate is None:
        tone = "note" if worse and tone == "good" else tone
        return Verdict(f"{sentence[0].upper()}{sentence[1:]}.", tone)
    lead, tone = {
        GateOutcome.PASS: ("Passed", "good"),
        GateOutcome.FAIL: ("Not passed", "bad"),
        GateOutcome.INCONCLUSIVE: ("Undecided", "note"),
        GateOutcome.ERROR: ("Undecided, as a check could not be made", "bad"),
    }[gate.outcome]
    return Verdict(f"{lead}: {sentence}.", tone)


def unknowns(result: EvaluationResult) -> list[str]:
    """What the reader might take for known and is not, as sentences."""
    if result.state == "no_data":
        return []
    said = [
        *_unmeasured(result),
        *_undetected(result),
        *_failures(result),
        *_unjudged(result),
        *_unsliced(result),
    ]
    said.append("These are held-out prompts. What users make of the answers is seen in a canary alone")
    return [f"{one}." for one in said]


def _compared(result: EvaluationResult) -> tuple[str, str]:
    comparison, card = result.comparison(result.primary), result.cards.get(result.primary)
    if comparison is None or card is None or comparison.difference.mean is None:
        label = result.primary if card is None else card.label
        return f"the candidate was not compared with the stable model by {label}, which decides", "note"
    digits = digits_of(card, comparison.difference.mean, comparison.difference.low)
    change = signed(comparison.difference.mean, digits)
    spread = f"{percent(comparison.difference.level)} interval {interval(comparison.difference, digits)}"
    means = (result.system(role) for role in (Role.CANDIDATE, Role.STABLE))
    course = " against ".join(
        figure(system.means.get(result.primary) if system else None, digits) for system in means
    )
    match finding_of(comparison.difference, card):
        case "better":
            return (
                f"the candidate is better than the stable model in {card.label}, {course} ({change}, {spread})",
                "good",
            )
        case "worse":
            return (
                f"the candidate is worse than the stable model in {card.label}, {course} ({change}, {spread})",
                "bad",
            )
        case "equal":
            return f"candidate and stable model are equal in {card.label}, {course}", "note"
        case "undecided":
            return f"no difference in {card.label} can be told, {course} ({change}, {spread})", "note"
        case "unknown":
            return (
                f"too few examples to tell the candidate from the stable model in {card.label} ({change})",
                "note",
            )


def _worse(result: EvaluationResult) -> list[str]:
    """Metrics beside the primary one that got worse, all of them looked at together."""
    return [
        result.cards[one.metric].label
        for one in result.comparisons
        if one.against == Role.STABLE
        and one.metric != result.primary
        and one.metric in result.cards
        and survives(one)
        and finding_of(one.difference, result.cards[one.metric]) == "worse"
    ]


def _unmeasured(result: EvaluationResult) -> list[str]:
    nowhere, partly = [], []
    for comparison in result.comparisons:
        if comparison.against != Role.STABLE:
            continue
        label, known = _label(result, comparison.metric), comparison.difference.n
        if comparison.difference.mean is None:
            nowhere.append(label)
        elif comparison.missing:
            partly.append(f"{label} ({known} of {known + comparison.missing})")
    said = [f"Not measured on any example: {', '.join(nowhere)}"] if nowhere else []
    return [*said, f"Measured on a part of the examples: {', '.join(partly)}"] if partly else said


def _undetected(result: EvaluationResult) -> list[str]:
    comparison, card = result.comparison(result.primary), result.cards.get(result.primary)
    if (
        comparison is None
        or card is None
        or finding_of(comparison.difference, card) not in {"undecided", "unknown"}
    ):
        return []
    if comparison.detectable is None:
        return [f"How small a difference in {card.label} would have been seen is not known"]
    least = figure(comparison.detectable, digits_of(card, comparison.detectable))
    return [
        f"A true difference in {card.label} below {least} is missed in more than one of five such evaluations"
    ]


def _failures(result: EvaluationResult) -> list[str]:
    return [
        f"{system.failed} of {system.asked} answers of {_named(system.role)} failed: what they would have said is not known"
        for system in result.systems
        if system.failed
    ]


def _unjudged(result: EvaluationResult) -> list[str]:
    if result.judge is None:
        return ["Nobody compared whole answers: no judge was asked"]
    judged = trust(result.judge)
    return [] if judged.may_be_trusted else [judged.reason]


def _unsliced(result: EvaluationResult) -> list[str]:
    told = {one.field for one in result.slices}
    asked = result.settings.get("slices") or ()
    missing = [str(field).replace("_", " ") for field in asked if field not in told]
    return [f"Not told apart by {', '.join(missing)}: no values, or too few examples"] if missing else []


def _named(role: Role) -> str:
    return "the candidate" if role == Role.CANDIDATE else f"the {role} model"


def _label(result: EvaluationResult, metric: str) -> str:
    card = result.cards.get(metric)
    return metric if card is None else card.label
