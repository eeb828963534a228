"""What a shadow found: paired differences with intervals, and whether the candidate is worse where it matters. Pure.

A user's pairs are one cluster. Every guardrail must hold, so their number needs no correction (`rollout.gate`). The
intervals hold for one look, at the end: a shadow that runs decides nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

from gateway_tuning.evaluation.statistics import Difference, paired_bootstrap
from gateway_tuning.evaluation.statistics.power import detectable_difference
from gateway_tuning.rollout.findings import GateOutcome
from gateway_tuning.rollout.shadows.shadow import Pair, Shadow

MIN_PAIRS, MIN_USERS = 50, 20
MOST_MISSING = 0.05  # of the requests that were sent

Finding = Literal["not worse", "worse", "undecided", "unknown", "told"]
Value = Callable[[Pair], float | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """`margin` is how much worse the candidate may be; None: told and not judged. `span`: the largest difference.

    Of a ratio, values are logarithms, and so are margin and difference. `optional`: no value anywhere is no question.
    """

    name: str
    label: str
    control: Value
    candidate: Value
    margin: float | None
    higher_is_better: bool = False
    span: float | None = 1.0
    is_ratio: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """Means over the `difference.n` pairs where both sides have a value; `missing` counts the others."""

    name: str
    label: str
    is_ratio: bool
    higher_is_better: bool
    control: float | None
    candidate: float | None
    difference: Difference
    detectable: float | None
    margin: float | None
    missing: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """`outcome` as at the gate: only a pass speaks for the candidate. `unpriced` counts pairs of unknown cost."""

    shadow: Shadow
    outcome: GateOutcome
    reasons: tuple[str, ...]
    pairs: int
    users: int
    unpriced: int
    metrics: tuple[Compared, ...]
    errors: Mapping[str, int]


def report(shadow: Shadow, pairs: Sequence[Pair], *, seed: int = 0, level: float = 0.95) -> ShadowReport:
    compared = (_compare(metric, pairs, seed=seed, level=level) for metric in _metrics(pairs))
    metrics = tuple(one for one in compared if one is not None)
    users = len({pair.user_key for pair in pairs})
    found = list(_findings(shadow, len(pairs), users, metrics))
    severity = [GateOutcome.ERROR, GateOutcome.FAIL, GateOutcome.INCONCLUSIVE, GateOutcome.PASS]
    errors: dict[str, int] = {}
    for pair in pairs:
        if pair.candidate_error is not None:
            errors[pair.candidate_error] = errors.get(pair.candidate_error, 0) + 1
    return ShadowReport(
        shadow=shadow,
        outcome=min((outcome for outcome, _ in found), key=severity.index),
        reasons=tuple(reason for _, reason in found),
        pairs=len(pairs),
        users=users,
        unpriced=sum(pair.cost is None for pair in pairs),
        metrics=metrics,
        errors=dict(sorted(errors.items(), key=lambda one: -one[1])),
    )


def _findings(
    shadow: Shadow, pairs: int, users: int, metrics: Sequence[Compared]
) -> Iterator[tuple[GateOutcome, str]]:
    if shadow.state == "running":
        yield GateOutcome.INCONCLUSIVE, "the shadow still runs: its figures hold for one look, at the end"
    if pairs < MIN_PAIRS or users < MIN_USERS:
        told = f"{pairs} pairs of {users} users; {MIN_PAIRS} of {MIN_USERS} are needed"
        yield GateOutcome.INCONCLUSIVE, told
    lacking = shadow.requests - pairs
    if lacking > MOST_MISSING * shadow.requests:
        yield (
            GateOutcome.INCONCLUSIVE,
            f"{lacking} of {shadow.requests} requests have no pair: what came of them is not known",
        )
    verdicts = {
        "not worse": GateOutcome.PASS,
        "worse": GateOutcome.FAIL,
        "undecided": GateOutcome.INCONCLUSIVE,
        "unknown": GateOutcome.INCONCLUSIVE,
    }
    for one in metrics:
        if one.finding != "told":
            yield verdicts[one.finding], f"{one.label}: {one.finding}"


def _metrics(pairs: Sequence[Pair]) -> Iterator[Metric]:
    yield Metric("failed", "failed answers", _ours("failed"), _theirs("failed"), margin=0.02)
    for name in _named(pairs, "relevance") or ["relevance"]:
        yield Metric(name, _words(name), _ours(name), _theirs(name), margin=0.02, higher_is_better=True)
    yield Metric("refusal", "answers that decline", _ours("refusal"), _theirs("refusal"), margin=0.02)
    yield Metric(
        "json_validity",
        "valid JSON where asked for",
        _ours("json_validity"),
        _theirs("json_validity"),
        margin=0.02,
        higher_is_better=True,
        optional=True,
    )
    yield Metric(
        "latency", "latency in ms", _our_latency, _their_latency, margin=log(1.1), span=None, is_ratio=True
    )
    yield Metric(
        "completion_tokens",
        "tokens of the answer",
        _logarithm(_ours("completion_tokens")),
        _logarithm(_theirs("completion_tokens")),
        margin=log(1.15),
        span=None,
        is_ratio=True,
    )
    for name in _named(pairs, "semantic_similarity"):
        yield Metric(
            name, f"{_words(name)} to each other", _nothing, _theirs(name), margin=None, optional=True
        )
    length = _logarithm(_theirs("length_ratio"))
    yield Metric(
        "length_ratio",
        "length, candidate to stable",
        _nothing,
        length,
        None,
        span=None,
        is_ratio=True,
        optional=True,
    )
    yield Metric("same_tools", "the same tools called", _nothing, _theirs("same_tools"), None, optional=True)


def _compare(metric: Metric, pairs: Sequence[Pair], *, seed: int, level: float) -> Compared | None:
    known = [
        (theirs, ours, pair.user_key)
        for pair in pairs
        if (theirs := metric.candidate(pair)) is not None and (ours := metric.control(pair)) is not None
    ]
    if metric.optional and not known:
        return None
    candidate, control = [one[0] for one in known], [one[1] for one in known]
    users = [one[2] for one in known]
    difference = paired_bootstrap(
        candidate, control, clusters=users, level=level, seed=seed, span=metric.span
    )
    alone = metric.control is _nothing
    return Compared(
        name=metric.name,
        label=metric.label,
        is_ratio=metric.is_ratio,
        higher_is_better=metric.higher_is_better,
        control=None if alone or not known else sum(control) / len(control),
        candidate=sum(candidate) / len(candidate) if known else None,
        difference=difference,
        detectable=None if alone else detectable_difference(candidate, control, clusters=users, level=level),
        margin=metric.margin,
        missing=len(pairs) - len(known),
        finding=_finding(metric, difference),
    )


def _finding(metric: Metric, difference: Difference) -> Finding:
    if metric.margin is None:
        return "told"
    if difference.low is None or difference.high is None:
        return "unknown"
    # Turned, so that more is worse.
    low, high = difference.low, difference.high
    low, high = (-high, -low) if metric.higher_is_better else (low, high)
    if high < metric.margin:
        return "not worse"
    return "worse" if low > metric.margin else "undecided"


def _ours(name: str) -> Value:
    return lambda pair: pair.control_scores.get(name)


def _theirs(name: str) -> Value:
    return lambda pair: pair.candidate_scores.get(name)


def _nothing(_pair: Pair) -> float:
    """For what has one value a pair: its mean and interval are those of a difference to 0."""
    return 0.0


def _our_latency(pair: Pair) -> float | None:
    return None if pair.control_scores.get("failed") else _log_of(pair.control_ms)


def _their_latency(pair: Pair) -> float | None:
    return None if pair.candidate_error is not None else _log_of(pair.candidate_ms)


def _logarithm(value: Value) -> Value:
    return lambda pair: _log_of(value(pair))


def _log_of(value: float | None) -> float | None:
    return log(value) if value is not None and value > 0 else None


def _named(pairs: Sequence[Pair], metric: str) -> list[str]:
    """The metric's names: gateways without the sentence model measure another one."""
    return sorted({name for pair in pairs for name in pair.candidate_scores if name.startswith(metric)})


def _words(name: str) -> str:
    return name.replace("_lexical", " (by letters)").replace("_", " ")
