"""The evaluation for people: a page that needs nothing else, and Markdown for an artifact."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gateway_tuning.evaluation.result import EvaluationResult, SystemScores
from gateway_tuning.evaluation.statistics import Difference

TEMPLATES = Path(__file__).parent / "templates"
_ROW = 52  # height of a row of the plot, in pixels
_UNKNOWN = "unknown"


def render_html(result: EvaluationResult, *, title: str = "Evaluation", subtitle: str = "") -> str:
    """One HTML page without scripts and without anything to load."""
    verdict, tone = _verdict(result)
    page = _environment().get_template("evaluation.html.j2")
    return page.render(
        result=result,
        title=title,
        subtitle=subtitle,
        css=report_css(),
        verdict=verdict,
        tone=tone,
        plot=interval_svg([("Similarity", result.similarity), ("Accuracy", result.accuracy)]),
        table=_table(result),
        figure=figure,
        percent=percent,
    )


def render_markdown(result: EvaluationResult, *, title: str = "Evaluation") -> str:
    """Figures and reasons; samples stand in the HTML report alone."""
    lines = [f"## {title}", "", f"**{_verdict(result)[0]}**", ""]
    lines += [f"- {reason}" for reason in result.reasons]
    if result.state == "no_data":
        return "\n".join(lines) + "\n"
    lines += [
        "",
        f"| | candidate `{result.candidate.model}` | baseline `{result.baseline.model}` |",
        "|---|---:|---:|",
    ]
    lines += [f"| {label} | {ours} | {theirs} |" for label, ours, theirs in _table(result)]
    lines += [
        "",
        f"| candidate minus baseline | mean | {percent(result.similarity.level)} interval |",
        "|---|---:|---:|",
    ]
    for label, difference in (("similarity", result.similarity), ("accuracy", result.accuracy)):
        lines.append(f"| {label} | {_signed(difference.mean)} | {_interval(difference)} |")
    return "\n".join(lines) + "\n"


@cache
def report_css() -> Markup:
    """The style sheet of all reports, to stand inside a `<style>` element."""
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))  # noqa: S704 - a file of ours


def interval_svg(rows: Sequence[tuple[str, Difference]]) -> Markup:
    """Labelled differences with their intervals around a zero line; an unknown interval is told in words.

    Places are in per cent of the width, so that text keeps its size on a phone.
    """
    known = [value for _, row in rows for value in (row.mean, row.low, row.high) if value is not None]
    reach = max([abs(value) for value in known] + [0.02])
    height = _ROW * len(rows) + 24

    def x(value: float) -> str:
        return f"{50 + 46 * value / reach:.2f}%"

    said = "; ".join(f"{label} {_told(difference)}" for label, difference in rows)
    parts = [
        f'<svg class="intervals" height="{height}" role="img" aria-label="{escape(said)}">',
        *(
            f'<text class="tick" x="{x(tick)}" y="{height - 5}" text-anchor="middle">{label}</text>'
            for tick, label in ((-reach, _signed(-reach, 2)), (0.0, "0"), (reach, _signed(reach, 2)))
        ),
    ]
    for number, (label, difference) in enumerate(rows):
        top = _ROW * number
        y = top + 36
        parts.append(f'<text x="0" y="{top + 16}">{escape(label)}</text>')
        parts.append(f'<text x="100%" y="{top + 16}" text-anchor="end">{escape(_told(difference))}</text>')
        parts.append(f'<line class="zero" x1="50%" x2="50%" y1="{top + 24}" y2="{top + _ROW}"/>')
        if difference.low is not None and difference.high is not None:
            parts.append(
                f'<line class="bar" x1="{x(difference.low)}" x2="{x(difference.high)}" y1="{y}" y2="{y}"/>'
            )
        if difference.mean is not None:
            parts.append(f'<circle class="point" cx="{x(difference.mean)}" cy="{y}" r="5"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers of ours and escaped labels


def figure(value: float | None, digits: int = 3) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:.4g} %"


def _signed(value: float | None, digits: int = 3) -> str:
    if value is None:
        return _UNKNOWN
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if any(digit in text for digit in "123456789") else text[1:]


def _interval(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return _UNKNOWN
    return f"{_signed(difference.low)} to {_signed(difference.high)}"


def _told(difference: Difference) -> str:
    return f"{_signed(difference.mean)} ({_interval(difference)})"


def _verdict(result: EvaluationResult) -> tuple[str, str]:
    """The sentence on top, and its tone as a CSS class."""
    difference = result.similarity
    if result.state == "no_data":
        return "Nothing was evaluated.", "note"
    if result.state == "invalid":
        return "The comparison is invalid.", "bad"
    if difference.low is None or difference.high is None:
        return "Too few examples to tell the candidate from the baseline.", "note"
    told = _told(difference)
    if difference.low > 0:
        return f"The candidate is closer to the preferred answers, by {told}.", "good"
    if difference.high < 0:
        return f"The candidate is further from the preferred answers, by {told}.", "bad"
    return (
        f"No difference in similarity can be told: {told}.",
        "note",
    )


def _table(result: EvaluationResult) -> list[tuple[str, str, str]]:
    def both(label: str, show: Callable[[SystemScores], str]) -> tuple[str, str, str]:
        return label, show(result.candidate), show(result.baseline)

    return [
        both("Mean similarity", lambda system: figure(system.similarity)),
        both("Accuracy", lambda system: percent(system.accuracy)),
        both("Examples", lambda system: str(system.n)),
        both("Failed answers", lambda system: str(system.errors)),
        both("Latency, mean (ms)", lambda system: figure(system.latency_ms_mean, 0)),
        both("Latency, median (ms)", lambda system: figure(system.latency_ms_median, 0)),
        both("Latency, 95th percentile (ms)", lambda system: figure(system.latency_ms_p95, 0)),
        both("Tokens of a prompt, mean", lambda system: figure(system.prompt_tokens_mean, 1)),
        both("Tokens of an answer, mean", lambda system: figure(system.completion_tokens_mean, 1)),
    ]


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
