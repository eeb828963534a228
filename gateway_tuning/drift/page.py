"""The drift check as one HTML page, without scripts and without anything to load."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gateway_tuning.drift.columns import OTHER_WORDS
from gateway_tuning.drift.report import STATES
from gateway_tuning.drift.result import Bin, DriftReport
from gateway_tuning.evaluation.reporting.style import report_css

_TEMPLATES = Path(__file__).parent / "templates"
_TONES = {"drift": "bad", "error": "bad", "no_drift": "good"}
_ROW, _BAR = 44, 9  # heights in pixels
_LONGEST = 44  # characters of a label
_PLAIN = 4  # columns without drift of which a chart is shown, those with the largest PSI


def render_html(report: DriftReport) -> str:
    return (
        _environment()
        .get_template("drift.html.j2")
        .render(
            report=report,
            css=report_css(),
            verdict=STATES[report.state],
            tone=_TONES.get(report.state, ""),
            charts=charts(report),
        )
    )


def charts(report: DriftReport) -> list[tuple[str, Markup]]:
    """Title and bars: of the columns that have drifted, then of the topics and of those nearest to it."""
    ordered = sorted(
        report.metrics, key=lambda metric: (not metric.drifted, metric.psi_expected - metric.psi)
    )
    drifted = sum(metric.drifted for metric in ordered)
    shown = [metric for metric in ordered[: drifted + _PLAIN] if metric.name != "topics"]
    found = [(metric.name.replace("_", " "), pairs(metric.name, _told(metric.bins))) for metric in shown]
    return found + ([("topics", pairs("topics", report.topics))] if report.topics else [])


def _told(bins: Sequence[Bin]) -> list[Bin]:
    """Beside all other words no bar of a word could be seen."""
    return [share for share in bins if share.label != OTHER_WORDS]


def pairs(title: str, bins: Sequence[Bin]) -> Markup:
    """Two bars a bin, the reference's above; widths in per cent so that text keeps its size on a phone."""
    most = max([max(share.reference, share.current) for share in bins] + [1e-9])
    said = "; ".join(f"{share.label} {share.reference:.1%} and {share.current:.1%}" for share in bins)
    parts = [f'<svg height="{_ROW * len(bins)}" role="img" aria-label="{escape(f"{title}: {said}")}">']
    for number, share in enumerate(bins):
        top = _ROW * number
        label = share.label if len(share.label) <= _LONGEST else f"{share.label[: _LONGEST - 1]}…"
        figures = f"{share.reference:.1%} → {share.current:.1%}"
        parts.append(
            f'<text x="0" y="{top + 14}">{escape(label)}</text>'
            f'<text x="100%" y="{top + 14}" text-anchor="end">{figures}</text>'
            f'<rect class="before" x="0" y="{top + 19}" width="{100 * share.reference / most:.2f}%" height="{_BAR}"/>'
            f'<rect class="after" x="0" y="{top + 19 + _BAR}" width="{100 * share.current / most:.2f}%" height="{_BAR}"/>'
        )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers of ours and escaped labels


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
