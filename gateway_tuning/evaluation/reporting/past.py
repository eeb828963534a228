"""The candidates of a model, one after the other: table, plot, page."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gateway_tuning.evaluation.history import Past
from gateway_tuning.evaluation.reporting.figures import UNKNOWN, digits_of, figure, interval, signed, told
from gateway_tuning.evaluation.reporting.findings import TONES, finding_of
from gateway_tuning.evaluation.reporting.forest import Row, Tone, plain_plot
from gateway_tuning.evaluation.reporting.style import content_policy, environment, evaluation_css

PLOTTED = 20  # the newest ones


@dataclass(frozen=True, slots=True)
class PastRow:
    created: str
    evaluation_id: str
    candidate: str
    stable: str
    dataset_id: str
    metric: str
    mean: str
    difference: str
    interval: str
    finding: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class PastPlot:
    """Of the evaluations that were decided by one metric, newest on top; `left_out` older ones are not drawn."""

    label: str
    aim: str
    plot: Markup
    left_out: int


def past_rows(history: Sequence[Past]) -> list[PastRow]:
    """Newest first."""
    return [past_row(one) for one in _newest_first(history)]


def past_plots(history: Sequence[Past]) -> list[PastPlot]:
    """A plot a metric, since two metrics share no scale. From an invalid comparison nothing is drawn."""
    by_metric: dict[str, list[Past]] = {}
    for one in _newest_first(history):
        if one.card is not None and _drawn(one):
            by_metric.setdefault(one.metric, []).append(one)
    return [_plot(members) for members in by_metric.values()]


def render_history_html(model: str, history: Sequence[Past]) -> str:
    """The page of a model's candidates."""
    return (
        environment()
        .get_template("history.html.j2")
        .render(
            title=f"Candidates of {model}",
            css=evaluation_css(),
            policy=content_policy(),
            past=past_rows(history),
            past_plots=past_plots(history),
        )
    )


def text_bars(history: Sequence[Past], width: int = 25) -> list[str]:
    """The plot for a terminal, newest first: zero, interval and difference. Empty where `past_plots` draws nothing.

    Evaluations that were decided by one metric share a scale.
    """
    reach: dict[str, float] = {}
    for one in history:
        reach[one.metric] = max([reach.get(one.metric, 0.0), *(abs(value) for value in _drawn(one))])
    return [_text_bar(_drawn(one), reach[one.metric], width) for one in _newest_first(history)]


def _drawn(one: Past) -> list[float]:
    """Low, mean and high as far as they are known; of an invalid comparison nothing."""
    difference = one.difference
    if one.state != "scored" or difference is None or difference.mean is None:
        return []
    if difference.low is None or difference.high is None:
        return [difference.mean]
    return [difference.low, difference.mean, difference.high]


def _text_bar(values: Sequence[float], reach: float, width: int) -> str:
    if not values:
        return ""
    middle = width // 2
    places = [middle + round(value / (reach or 1.0) * middle) for value in values]
    cells = [" "] * width
    for place in range(places[0], places[-1] + 1):
        cells[place] = "─"
    cells[middle] = "│" if cells[middle] == " " else "┼"
    cells[places[len(places) // 2]] = "●"
    return "".join(cells).rstrip()


def _newest_first(history: Sequence[Past]) -> list[Past]:
    return sorted(history, key=lambda one: (one.created_at, one.evaluation_id), reverse=True)


def _plot(members: Sequence[Past]) -> PastPlot:
    card = members[0].card
    rows = [_plotted(one) for one in members[:PLOTTED]]
    label = members[0].metric if card is None else card.label
    aim = "less is better" if card is not None and not card.higher_is_better else "more is better"
    return PastPlot(label, aim, plain_plot(rows), max(len(members) - PLOTTED, 0))


def _plotted(one: Past) -> Row:
    label = f"{one.candidate.rpartition('@')[2]}, {one.created_at:%Y-%m-%d}"
    difference, card = one.difference, one.card
    if difference is None or card is None:
        return Row(label, UNKNOWN, None, None, None)
    digits = digits_of(card, difference.mean, difference.low, difference.high)
    tone = TONES[finding_of(difference, card)]
    return Row(label, told(difference, digits), difference.low, difference.mean, difference.high, tone)


def past_row(one: Past) -> PastRow:
    difference, card = one.difference, one.card
    finding: str = "unknown"
    tone: Tone = ""
    digits = 3
    if difference is not None and card is not None:
        digits = digits_of(card, difference.mean, difference.low, difference.high)
        found = finding_of(difference, card)
        finding, tone = found, TONES[found]
    if one.state != "scored":
        finding, tone = one.state.replace("_", " "), ""
    return PastRow(
        created=f"{one.created_at:%Y-%m-%d %H:%M}",
        evaluation_id=one.evaluation_id,
        candidate=one.candidate,
        stable=one.stable,
        dataset_id=one.dataset_id,
        metric=one.metric if card is None else card.label,
        mean=figure(one.mean, digits),
        difference=UNKNOWN if difference is None else signed(difference.mean, digits),
        interval=UNKNOWN if difference is None else interval(difference, digits),
        finding=finding,
        tone=tone,
    )
