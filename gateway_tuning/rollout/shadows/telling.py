"""A shadow's report in words: rows of a table, and Markdown. Pure."""

from collections.abc import Iterator
from math import exp

from gateway_tuning.datasets.describing.markdown import cell
from gateway_tuning.rollout.shadows.report import Compared, ShadowReport
from gateway_tuning.rollout.shadows.shadow import Shadow

COLUMNS = (
    "metric",
    "stable",
    "candidate",
    "difference",
    "interval",
    "margin",
    "detectable",
    "missing",
    "finding",
)


def rows(report: ShadowReport) -> list[list[str | None]]:
    """By `COLUMNS`. A ratio's means are geometric, its differences in per cent."""
    return [
        [
            one.label,
            _mean(one, one.control),
            _mean(one, one.candidate),
            _change(one, one.difference.mean),
            _interval(one),
            None if one.margin is None else _change(one, -one.margin if one.higher_is_better else one.margin),
            None if one.detectable is None else _change(one, one.detectable),
            str(one.missing),
            one.finding,
        ]
        for one in report.metrics
    ]


def cost(shadow: Shadow) -> str:
    """Never 0 for what nobody knows."""
    if shadow.prices is None or shadow.spent is None:
        return f"cost not known: no price of {shadow.candidate}"
    currency = shadow.prices.currency
    of = "" if shadow.budget is None else f" of {shadow.budget} {currency}"
    held = f", {shadow.held} held for requests under way" if shadow.held else ""
    return f"{shadow.spent} {currency} spent{of}{held}"


def lines(report: ShadowReport) -> Iterator[str]:
    """Outcome first."""
    shadow = report.shadow
    yield f"{report.outcome.value}: {shadow.candidate} against {shadow.control} in the shadow {shadow.id}"
    yield from report.reasons
    yield f"{report.pairs} pairs of {report.users} users; {shadow.requests} requests of at most {shadow.max_requests}"
    yield cost(shadow)
    if shadow.prices is not None and report.unpriced:
        yield f"{report.unpriced} answers told no usage: what was held for them counts as spent"
    for error, times in report.errors.items():
        yield f"the candidate failed {times} times: {error}"


def markdown(report: ShadowReport) -> str:
    first, *others = lines(report)
    told = [f"## {cell(f'Shadow of {report.shadow.model}')}", "", f"**{cell(first)}**", ""]
    told += [f"- {cell(line)}" for line in others]
    told += ["", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    told += [f"| {' | '.join(cell(value or '-') for value in row)} |" for row in rows(report)]
    return "\n".join(told) + "\n"


def _mean(one: Compared, value: float | None) -> str | None:
    if value is None:
        return None
    return f"{exp(value):,.3g}" if one.is_ratio else f"{value:.3f}"


def _change(one: Compared, value: float | None) -> str | None:
    if value is None:
        return None
    return f"{exp(value) - 1:+.1%}" if one.is_ratio else f"{value:+.3f}"


def _interval(one: Compared) -> str | None:
    low, high = _change(one, one.difference.low), _change(one, one.difference.high)
    return None if low is None or high is None else f"{low} to {high}"
