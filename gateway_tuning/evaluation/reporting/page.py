"""The evaluation as one HTML page: no scripts, nothing to load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gateway_tuning.evaluation.history import Past
from gateway_tuning.evaluation.reporting.distributions import distributions_svg
from gateway_tuning.evaluation.reporting.figures import percent
from gateway_tuning.evaluation.reporting.findings import unknowns, verdict
from gateway_tuning.evaluation.reporting.forest import Row, relative_plot
from gateway_tuning.evaluation.reporting.past import past_plots, past_rows
from gateway_tuning.evaluation.reporting.samples import SampleView, sample_views
from gateway_tuning.evaluation.reporting.style import content_policy, environment, evaluation_css
from gateway_tuning.evaluation.reporting.tables import (
    MetricRow,
    SliceGroup,
    forest_rows,
    formula_rows,
    judge_rows,
    metric_rows,
    opponents,
    setting_rows,
    slice_groups,
    system_rows,
)
from gateway_tuning.evaluation.result import EvaluationResult
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.rollout.gate import GateDecision

Values = Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class _Opponent:
    role: str
    rows: list[MetricRow]
    bounded: Markup
    unbounded: Markup


@dataclass(frozen=True, slots=True)
class _Slices:
    group: SliceGroup
    plot: Markup


@dataclass(frozen=True, slots=True)
class _Samples:
    title: str
    note: str
    views: list[SampleView]


def render_html(
    result: EvaluationResult,
    *,
    title: str = "Evaluation",
    subtitle: str = "",
    gate: GateDecision | None = None,
    scores: Values | None = None,
    history: Sequence[Past] = (),
) -> str:
    """The whole report.

    Args:
        result: What is told.
        title: Headline of the page.
        subtitle: Stands below it: which dataset, when.
        gate: What was decided on this result, if that is known yet.
        scores: By metric, then role, the scores of single answers, for their distributions.
        history: Evaluations of the same model, this one among them or not.
    """
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            result=result,
            title=title,
            subtitle=subtitle,
            css=evaluation_css(),
            policy=content_policy(),
            verdict=verdict(result, gate),
            gate=gate,
            unknowns=unknowns(result),
            level=percent(_level(result)),
            opponents=[_opponent(result, role) for role in opponents(result)],
            spreads=_spreads(result, scores or {}),
            systems=[system.role.value for system in result.systems],
            system_rows=system_rows(result),
            slices=[_Slices(group, relative_plot(group.plot)) for group in slice_groups(result)],
            judge=None if result.judge is None else judge_rows(result.judge),
            samples=_samples(result),
            past=past_rows(history),
            past_plots=past_plots(history),
            formulas=formula_rows(result.cards.values()),
            settings=setting_rows(result.settings),
        )
    )


def _level(result: EvaluationResult) -> float | None:
    first = result.comparison(result.primary)
    return None if first is None else first.difference.level


def _opponent(result: EvaluationResult, role: Role) -> _Opponent:
    bounded, unbounded = (_plot(rows) for rows in forest_rows(result, role))
    return _Opponent(role.value, metric_rows(result, role), bounded, unbounded)


def _plot(rows: Sequence[Row]) -> Markup:
    return relative_plot(rows) if rows else Markup()


def _spreads(result: EvaluationResult, scores: Values) -> list[tuple[str, Markup]]:
    """Label and plot, the primary metric first; metrics that a system has no values of are left out."""
    names = sorted((name for name in scores if name in result.cards), key=lambda name: name != result.primary)
    plots = []
    for name in names:
        card, roles = result.cards[name], scores[name]
        plot = distributions_svg(card, roles.get(Role.CANDIDATE, ()), roles.get(Role.STABLE, ()))
        plots += [(card.label, plot)] if plot else []
    return plots


def _samples(result: EvaluationResult) -> list[_Samples]:
    card = result.cards.get(result.primary)
    label = result.primary if card is None else card.label
    chosen = (
        ("Most changed", f"Where {label} differs most between the two answers.", result.most_changed),
        ("Worst", f"The candidate's poorest answers by {label}.", result.worst),
        ("Best", f"The candidate's finest answers by {label}.", result.best),
    )
    return [
        _Samples(title, note, sample_views(samples, result.cards, result.primary))
        for title, note, samples in chosen
        if samples
    ]
