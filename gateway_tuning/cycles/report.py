"""The summary of a cycle as one HTML page that needs nothing else."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.evaluation.reporting.figures import figure, percent
from gateway_tuning.evaluation.reporting.forest import interval_svg
from gateway_tuning.evaluation.reporting.samples import SampleView, sample_views
from gateway_tuning.evaluation.reporting.style import TEMPLATES as EVALUATION_TEMPLATES
from gateway_tuning.evaluation.reporting.style import report_css
from gateway_tuning.evaluation.result import EvaluationResult
from gateway_tuning.evaluation.statistics import Difference

_VERDICTS = {
    "promoted": ("Promoted: the candidate is now the stable version.", "good"),
    "rolled_back": ("Rolled back: the stable version stays.", "bad"),
    "rejected": ("Not promoted: the gate or the approver said no.", "bad"),
    "inconclusive": ("Undecided: the canary ended without enough evidence; the stable version stays.", ""),
    "unchanged": ("Nothing to try: equal data and training gave the version that is stable already.", ""),
    "too_few_examples": ("Not trained: the dataset is too small.", ""),
    "abandoned": ("Abandoned by hand.", ""),
    None: ("Still under way.", ""),
}


def verdict(summary: dict[str, Any]) -> str:
    """The cycle's end in one sentence."""
    return _VERDICTS[summary["outcome"]][0]


def render_html(summary: dict[str, Any], *, title: str, evaluation: EvaluationResult | None = None) -> str:
    """The worst and the most changed answers of `evaluation` are shown."""
    environment = Environment(
        loader=FileSystemLoader([Path(__file__).parent / "templates", EVALUATION_TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
    )
    compared = summary["evaluation"]
    difference = Difference(**compared["difference"]) if compared and compared["difference"] else None
    label = compared["labels"].get(compared["primary"], compared["primary"]) if compared else ""
    sentence, tone = _VERDICTS[summary["outcome"]]
    return environment.get_template("cycle.html.j2").render(
        s=summary,
        title=title,
        verdict=sentence,
        tone=tone,
        css=report_css(),
        plot=interval_svg([(label, difference)]) if difference else "",
        kinds=[kind.value for kind in ExampleKind],
        label=label,
        samples=None if evaluation is None else _samples(evaluation),
        figure=figure,
        short=_short,
        percent=percent,
    )


def _samples(result: EvaluationResult) -> dict[str, list[SampleView]]:
    return {
        name: sample_views(chosen, result.cards, result.primary)
        for name, chosen in (("worst", result.worst), ("most_changed", result.most_changed))
    }


def _short(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
