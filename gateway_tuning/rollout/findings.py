"""What the gate finds, one check at a time: an outcome, and why, with figures. Pure."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from gateway_tuning.evaluation.scoring.protocol import LEXICAL
from gateway_tuning.rollout.evidence import Evidence, Measured


class GateOutcome(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


Finding = tuple[GateOutcome, str]


def improvement(evidence: Evidence, margin: float, min_examples: int) -> Finding:
    """The whole interval of the primary metric must lie above the margin, in the direction that is better."""
    name, metric = _words(evidence.primary), evidence.metrics.get(evidence.primary)
    if evidence.fault is not None:
        return GateOutcome.ERROR, f"nothing can be compared: {evidence.fault}"
    if evidence.examples < min_examples:
        return GateOutcome.INCONCLUSIVE, f"{evidence.examples} held-out examples, {min_examples} needed"
    if metric is None:
        return GateOutcome.ERROR, f"the primary metric {name} was not measured; {_again(evidence.primary)}"
    if metric.distrust is None and 0 < metric.pairs < min_examples:
        told = f"{name} is known for {metric.pairs} examples of both models, {min_examples} needed"
        return GateOutcome.INCONCLUSIVE, told
    return _better(metric, margin)


def _better(metric: Measured, margin: float) -> Finding:
    if metric.distrust is not None:
        return GateOutcome.INCONCLUSIVE, f"{_words(metric.name)} may not decide: {metric.distrust}"
    bounds = _better_by(metric)
    if bounds is None:
        return GateOutcome.ERROR, f"the difference in {_words(metric.name)} has no interval"
    low, high = bounds
    if low > margin:
        return GateOutcome.PASS, f"better than {margin:+.3f}: {_figures(metric)}"
    if high <= margin:
        return GateOutcome.FAIL, f"not better than {margin:+.3f}: {_figures(metric)}"
    return GateOutcome.INCONCLUSIVE, f"not shown to be better than {margin:+.3f}: {_figures(metric)}"


def guardrails(metrics: Mapping[str, Measured], margins: Mapping[str, float]) -> Iterator[Finding]:
    """Every named metric must be there, and not worse by its margin."""
    for name, margin in margins.items():
        metric = metrics.get(name)
        if metric is None:
            told = f"{_words(name)} was not measured; {_again(name)}, or take it from the guardrails"
            yield GateOutcome.ERROR, told
        elif metric.distrust is not None:
            yield GateOutcome.INCONCLUSIVE, f"{_words(name)} may not decide: {metric.distrust}"
        else:
            yield _not_worse(metric, margin)


def usual_guardrails(evidence: Evidence, margins: Mapping[str, float]) -> Iterator[Finding]:
    """Those that nobody named hold where they were asked for, or what was measured in their place by letters.

    A value on no example leaves the question open.
    """
    for name, margin in margins.items():
        metric = evidence.metrics.get(name) or evidence.metrics.get(f"{name}{LEXICAL}")
        if metric is not None and metric.pairs == 0:
            yield GateOutcome.INCONCLUSIVE, f"{_words(metric.name)} is known for no example of both models"
        elif metric is not None:
            yield _not_worse(metric, margin)
        elif evidence.unmeasured & {name, f"{name}{LEXICAL}"}:
            told = (
                f"{_words(name)} could not be measured; see to the cause, which the evaluation's reasons tell"
            )
            yield GateOutcome.ERROR, f"{told}, and evaluate again"


def cost_ratio(metrics: Mapping[str, Measured], name: str, most: float) -> Finding:
    """Interval of the difference in units of the stable model's mean, whose own error is small beside it."""
    metric = metrics.get(name)
    if metric is None or metric.low is None or metric.high is None or not metric.stable:
        return GateOutcome.ERROR, f"{_words(name)} of both models is not known, so no ratio is"
    low, high = (1 + side / metric.stable for side in (metric.low, metric.high))
    figures = f"{_words(name)} is {low:.2f} to {high:.2f} times that of the stable model, on {metric.pairs} examples"
    if high <= most:
        return GateOutcome.PASS, f"{figures}; {most:.2f} is allowed"
    if low > most:
        return GateOutcome.FAIL, f"{figures}; only {most:.2f} is allowed"
    return GateOutcome.INCONCLUSIVE, f"{figures}; not shown to be within {most:.2f}"


def json_validity(metrics: Mapping[str, Measured], least: float) -> Finding:
    """Share of valid answers where JSON was asked for. Where it never was, there is nothing to hold against anyone."""
    metric = metrics.get("json_validity")
    if metric is not None and metric.candidate is None and metric.stable is None:
        return GateOutcome.PASS, "no example asks for JSON"
    if metric is None or metric.candidate is None:
        return _unknown("json_validity", "min_json_validity")
    outcome = GateOutcome.PASS if metric.candidate >= least else GateOutcome.FAIL
    return outcome, f"{metric.candidate:.1%} of the answers that must be JSON are; {least:.1%} are required"


def personal_data(metrics: Mapping[str, Measured], most: float) -> Finding:
    """Identifiers an answer that came from neither the prompt nor the preferred answer."""
    metric = metrics.get("personal_data")
    if metric is None or (metric.candidate is None and not metric.without_value):
        return _unknown("personal_data", "max_personal_data")
    found = GateOutcome.PASS
    if metric.candidate is not None and metric.candidate > most:
        found = GateOutcome.FAIL
    elif metric.candidate is None or metric.without_value:
        told = f"{metric.without_value} of the answers could not be looked through for personal data"
        return GateOutcome.ERROR, f"{told}: predictions.parquet says why; mend that and evaluate again"
    return found, f"{metric.candidate:.3g} new personal identifiers an answer; {most:.3g} are allowed"


def refusals(metrics: Mapping[str, Measured], most_more: float) -> Finding:
    metric = metrics.get("refusal")
    if metric is None or metric.candidate is None or metric.stable is None:
        return _unknown("refusal", "max_more_refusals")
    outcome = GateOutcome.PASS if metric.candidate <= metric.stable + most_more else GateOutcome.FAIL
    shares = f"{metric.candidate:.1%} of the answers refuse, of the stable model {metric.stable:.1%}"
    return outcome, f"{shares}; {most_more:.1%} more are allowed"


def failures(evidence: Evidence, most: float) -> Finding:
    outcome = GateOutcome.PASS if evidence.failed_answers <= most * evidence.examples else GateOutcome.FAIL
    return outcome, f"{evidence.failed_answers} of {evidence.examples} answers failed"


def _not_worse(metric: Measured, margin: float) -> Finding:
    bounds = _better_by(metric)
    if bounds is None:
        return GateOutcome.ERROR, f"the difference in {_words(metric.name)} has no interval"
    low, high = bounds
    if low > -margin:
        return GateOutcome.PASS, f"not worse by {margin:.3g}: {_figures(metric)}"
    if high < -margin:
        return GateOutcome.FAIL, f"worse by more than {margin:.3g}: {_figures(metric)}"
    return GateOutcome.INCONCLUSIVE, f"not shown to be within {margin:.3g}: {_figures(metric)}"


def _better_by(metric: Measured) -> tuple[float, float] | None:
    """The interval, turned so that more is better."""
    if metric.difference is None or metric.low is None or metric.high is None:
        return None
    return (metric.low, metric.high) if metric.higher_is_better else (-metric.high, -metric.low)


def _figures(metric: Measured) -> str:
    direction = "" if metric.higher_is_better else ", less is better"
    return (
        f"{_words(metric.name)} {metric.difference:+.3f} (interval {metric.low:+.3f} to {metric.high:+.3f}, on "
        f"{metric.pairs} examples{direction})"
    )


def _unknown(name: str, field: str) -> Finding:
    return (
        GateOutcome.ERROR,
        f"{_words(name)} is not known: {_again(name)}, or set {field} to null in the policy",
    )


def _again(name: str) -> str:
    return f"evaluate again with {name} among the metrics"


def _words(name: str) -> str:
    return name.replace("_", " ")
